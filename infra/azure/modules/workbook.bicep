// The dashboard: a workbook, found in the portal under Monitor, or by the output WORKBOOK_URL.

@description('Where.')
param location string

@description('Tags of everything.')
param tags object

@description('What it is called.')
param title string

@description('The Log Analytics workspace.')
param workspaceId string

@description('The function app.')
param receiverId string

@description('The Service Bus namespace.')
param namespaceId string

var withWorkspace = replace(loadTextContent('../workbook.json'), '<workspace>', workspaceId)
var withReceiver = replace(withWorkspace, '<receiver>', receiverId)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, title)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: title
    category: 'workbook'
    version: '1.0'
    sourceId: workspaceId
    serializedData: replace(withReceiver, '<namespace>', namespaceId)
  }
}

output id string = workbook.id
