// The vault for the signature keys and, where the webhooks are checked, a key of Dastra's API; for nothing else.

@description('Where.')
param location string

@description('Tags of everything.')
param tags object

@description('What makes names unique.')
param token string

@description('Forbid that the vault is emptied for good.')
param purgeProtection bool

// No secret: the keys are Dastra's and are set afterwards, so that no template, parameter or deployment record holds one.
var secretName = 'dastra-signature-keys'
var apiKeySecretName = 'dastra-api-key'

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  // checkov:skip=CKV_AZURE_109:The function has no fixed address that a rule could name; only identities get in.
  // checkov:skip=CKV_AZURE_189:The same.
  // checkov:skip=CKV_AZURE_110:A parameter, since it cannot be undone. The keys can be had from Dastra again.
  // checkov:skip=CKV_AZURE_42:The same; deleted secrets can be had back for 90 days.
  name: 'kv-dastra-${token}'
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // Key Vault refuses the value false: it is on, or it is not mentioned.
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: 'Allow'
    }
  }
}

output vaultName string = vault.name
output secretUrl string = '${vault.properties.vaultUri}secrets/${secretName}'
output apiKeySecretUrl string = '${vault.properties.vaultUri}secrets/${apiKeySecretName}'
