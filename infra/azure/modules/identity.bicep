// The function app's identity. It is there before the app, so that its roles can be too: one that came with the app would
// get them when the app is made, and the upload of the code would be refused until they are known everywhere.

@description('Where.')
param location string

@description('Tags of everything.')
param tags object

@description('What makes names unique.')
param token string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-dastra-${token}'
  location: location
  tags: tags
}

output id string = identity.id
output principalId string = identity.properties.principalId
output clientId string = identity.properties.clientId
