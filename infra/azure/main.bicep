// dastra-webhooks on Azure: a function, a queue, a store for what must wait, a vault for the keys, and alarms.
// `azd up` deploys it; docs/deploy-azure.md has the steps.

targetScope = 'subscription'

// ---------------------------------------------------------------------------------------------------------------- where

@description('The name of the azd environment. It stands in the name of the resource group and in a tag of everything.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Where everything is. Events carry personal data, so only regions in the EU. Flex Consumption is not in every region: az functionapp list-flexconsumption-locations.')
@allowed([
  'francecentral'
  'germanywestcentral'
  'italynorth'
  'northeurope'
  'polandcentral'
  'spaincentral'
  'swedencentral'
  'westeurope'
])
@metadata({ azd: { type: 'location' } })
param location string = 'francecentral'

@description('The resource group to make. Empty: rg- and the name of the environment.')
@maxLength(90)
param resourceGroupName string = ''

// ------------------------------------------------------------------------------------------------------- who may and is told

@description('Object id of the person or group that operates the receiver: may set keys, release what is held and read the queue. azd fills in who deploys. Empty: nobody, not even an owner of the subscription, reaches the data.')
param operatorPrincipalId string = ''

@description('What operatorPrincipalId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string = 'User'

@description('Object id of your consumer, a managed identity for instance: may receive from the queue and read large bodies. Empty: none yet.')
param consumerPrincipalId string = ''

@description('What consumerPrincipalId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param consumerPrincipalType string = 'ServicePrincipal'

@description('Alarms go to this e-mail address. Empty: they show in the portal and the workbook only.')
param notificationEmail string = ''

@description('How often the log is searched for what alarms. Every minute finds sooner, and costs more.')
@allowed(['PT1M', 'PT5M'])
param alarmEvery string = 'PT5M'

@description('Alarm when no event came for so many hours. A blocked webhook is silent. 0 switches it off. Azure Monitor looks back for 48 hours at most, so a quiet weekend may alarm.')
@minValue(0)
@maxValue(48)
param silenceHours int = 0

// --------------------------------------------------------------------------------------- what Dastra says of the webhooks

@description('Ask Dastra\'s API every 15 minutes how many errors the webhooks had and whether one is blocked, with alarms for both. Needs a key of the API, which you put into the vault as the secret dastra-api-key.')
param webhookCheck bool = false

@description('Numbers of the webhooks to ask about, separated by commas. Empty: every one that the API key sees.')
param webhookIds string = ''

@description('The workspace to ask about. 0: all that the API key sees.')
@minValue(0)
@maxValue(2147483647)
param dastraWorkspaceId int = 0

@description('Where Dastra\'s API is, with https. The API key is sent there.')
@minLength(9)
param apiUrl string = 'https://api.dastra.eu'

// ------------------------------------------------------------------------------------------------------- what is accepted

@description('What happens to an event with a valid signature from an address off the list. quarantine: held until you accept the address. observe: forwarded and marked. reject: held, and Dastra gets 403, which counts as an error there. off: not looked at.')
@allowed(['quarantine', 'observe', 'reject', 'off'])
param sourceIpMode string = 'quarantine'

@description('Addresses and networks (CIDR), separated by commas. Empty: the eight addresses that Dastra published on 2023-01-05 and has since withdrawn. none: nobody, until you accept somebody with: dastra-webhooks addresses accept.')
param sourceIpAllowlist string = ''

@description('How many proxies in front of the function write X-Forwarded-For, the front end of Azure included. 1 unless you put one there.')
@minValue(1)
@maxValue(10)
param trustedProxyHops int = 1

@description('The id of your Azure Front Door profile (its properties.frontDoorId). Requests that do not come through it are then refused by the platform, and it counts as one more proxy. Empty: the function is called directly.')
param frontDoorId string = ''

@description('Larger requests are answered 413.')
@minValue(1)
@maxValue(4194304)
param maxBodyBytes int = 4194304

@description('Events whose own date is older than so many seconds are held in quarantine, as a guard against replays. 0 switches it off.')
@minValue(0)
@maxValue(31536000)
param maxEventAgeSeconds int = 0

// -------------------------------------------------------------------------------------------------------------- the queue

@description('A message that was received so often without being completed becomes a dead letter.')
@minValue(1)
@maxValue(2000)
param maxDeliveryCount int = 5

@description('How long a message that a consumer has taken is locked for it, in seconds. Service Bus allows 300.')
@minValue(5)
@maxValue(300)
param lockSeconds int = 60

// ------------------------------------------------------------------------------------------------------------ how it runs

@description('Memory of an instance in MB. The share of a processor grows with it, and a start is bound by the processor: 512 starts slowly.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('The most instances at once. Flex Consumption takes no less than 40.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances that are kept running, so that no event meets a cold start. They cost money all the time. 0: none.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int = 0

@description('How the host hands a request on. streaming: as it comes. classic: without the body, where it is sent in chunks; a genuine event is then refused, and an alarm says so.')
@allowed(['streaming', 'classic'])
param httpForm string = 'streaming'

@description('The answer is out after so many seconds, whatever hangs. Dastra waits for 10.')
param timeBudgetSeconds string = '6'

@description('Seconds of these for the queue: at most three quarters. The store needs the rest when the queue fails.')
param queueBudgetSeconds string = '2.5'

@description('Copies of what is stored. ZRS: in three zones of the region; LRS: in one; GZRS: also in the paired region, where there is one.')
@allowed(['Standard_ZRS', 'Standard_LRS', 'Standard_GZRS'])
param storageRedundancy string = 'Standard_ZRS'

@description('Forbid that the vault is emptied for good within 90 days after its deletion. It cannot be switched off again, and the same environment cannot be deployed anew in that time. The keys are in Dastra too.')
param vaultPurgeProtection bool = false

@description('Days that logs are kept. They hold no body, no key and no signature, but callers\' addresses.')
@allowed([30, 60, 90, 180, 365, 730])
param logRetentionDays int = 30

@description('Logs of more than so many GB a day are dropped, and alarms with them: the gauges then alarm. -1: no limit.')
@minValue(-1)
param logDailyCapGb int = -1

// ------------------------------------------------------------------------------------------------------------------ parts

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: empty(resourceGroupName) ? 'rg-${environmentName}' : resourceGroupName
  location: location
  tags: tags
}

module queue 'modules/queue.bicep' = {
  scope: group
  name: 'queue'
  params: {
    location: location
    tags: tags
    token: token
    maxDeliveryCount: maxDeliveryCount
    lockSeconds: lockSeconds
  }
}

module store 'modules/store.bicep' = {
  scope: group
  name: 'store'
  params: {
    location: location
    tags: tags
    token: token
    redundancy: storageRedundancy
  }
}

module keys 'modules/keys.bicep' = {
  scope: group
  name: 'keys'
  params: {
    location: location
    tags: tags
    token: token
    purgeProtection: vaultPurgeProtection
  }
}

module logs 'modules/logs.bicep' = {
  scope: group
  name: 'logs'
  params: {
    location: location
    tags: tags
    token: token
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
}

module identity 'modules/identity.bicep' = {
  scope: group
  name: 'identity'
  params: {
    location: location
    tags: tags
    token: token
  }
}

module access 'modules/access.bicep' = {
  scope: group
  name: 'access'
  params: {
    namespaceName: queue.outputs.namespaceName
    queueName: queue.outputs.queueName
    accountName: store.outputs.accountName
    containerName: store.outputs.containerName
    hostAccountName: store.outputs.hostAccountName
    vaultName: keys.outputs.vaultName
    insightsName: logs.outputs.insightsName
    receiverPrincipalId: identity.outputs.principalId
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    consumerPrincipalId: consumerPrincipalId
    consumerPrincipalType: consumerPrincipalType
  }
}

module receiver 'modules/receiver.bicep' = {
  scope: group
  name: 'receiver'
  // A role takes minutes to be known everywhere: at least those in which the app is made, and then the upload needs it.
  dependsOn: [access]
  params: {
    location: location
    tags: tags
    token: token
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    insightsName: logs.outputs.insightsName
    hostAccountName: store.outputs.hostAccountName
    packageContainerName: store.outputs.packageContainerName
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyInstances: alwaysReadyInstances
    frontDoorId: frontDoorId
    httpForm: httpForm
    settings: union(webhookCheck ? {
      DASTRA_API_KEY_SECRET: keys.outputs.apiKeySecretUrl
      DASTRA_API_URL: apiUrl
      DASTRA_WEBHOOK_IDS: webhookIds
      DASTRA_WORKSPACE_ID: dastraWorkspaceId > 0 ? string(dastraWorkspaceId) : ''
    } : {}, {
      DASTRA_QUEUE: queue.outputs.address
      DASTRA_STORE: store.outputs.url
      DASTRA_SIGNATURE_KEYS_SECRET: keys.outputs.secretUrl
      DASTRA_SOURCE_IP_MODE: sourceIpMode
      DASTRA_SOURCE_IP_ALLOWLIST: sourceIpAllowlist
      // Front Door appends the caller's address, and Azure's front end appends Front Door's.
      DASTRA_TRUSTED_PROXY_HOPS: string(empty(frontDoorId) ? trustedProxyHops : max(2, trustedProxyHops))
      DASTRA_MAX_BODY_BYTES: string(maxBodyBytes)
      DASTRA_MAX_EVENT_AGE_SECONDS: string(maxEventAgeSeconds)
      DASTRA_TIME_BUDGET_SECONDS: timeBudgetSeconds
      DASTRA_QUEUE_BUDGET_SECONDS: queueBudgetSeconds
    })
  }
}

module logRetention 'modules/retention.bicep' = {
  scope: group
  name: 'log-retention'
  // Late, since a workspace that was just made may still refuse it as not active.
  dependsOn: [receiver]
  params: {
    workspaceName: logs.outputs.workspaceName
    retentionDays: logRetentionDays
  }
}

module alarms 'modules/alarms.bicep' = {
  scope: group
  name: 'alarms'
  params: {
    location: location
    tags: tags
    prefix: environmentName
    notificationEmail: notificationEmail
    every: alarmEvery
    silenceHours: silenceHours
    webhookCheck: webhookCheck
    httpForm: httpForm
    workspaceId: logs.outputs.workspaceId
    receiverId: receiver.outputs.id
    namespaceId: queue.outputs.namespaceId
    queueName: queue.outputs.queueName
  }
}

module workbook 'modules/workbook.bicep' = {
  scope: group
  name: 'workbook'
  params: {
    location: location
    tags: tags
    title: 'dastra-webhooks ${environmentName}'
    workspaceId: logs.outputs.workspaceId
    receiverId: receiver.outputs.id
    namespaceId: queue.outputs.namespaceId
  }
}

// ---------------------------------------------------------------------------------------------------------------- outputs
// azd keeps them in the environment; `azd env get-values` shows them. The first three are what the command line reads.

@description('The queue that your consumer reads: namespace and name.')
output DASTRA_QUEUE string = queue.outputs.address

@description('Large bodies, and events that wait.')
output DASTRA_STORE string = store.outputs.url

@description('The secret that takes the signature keys. It exists once the first key is set.')
output DASTRA_SIGNATURE_KEYS_SECRET string = keys.outputs.secretUrl

@description('The secret that takes a key of Dastra\'s API, where the webhooks are checked. It exists once the key is set.')
output API_KEY_SECRET string = webhookCheck ? keys.outputs.apiKeySecretUrl : ''

@description('The URL for the webhook in Dastra.')
output WEBHOOK_URL string = receiver.outputs.webhookUrl

@description('The resource group.')
output AZURE_RESOURCE_GROUP string = group.name

@description('The function app.')
output FUNCTION_APP_NAME string = receiver.outputs.name

@description('The vault.')
output KEY_VAULT_NAME string = keys.outputs.vaultName

@description('The Service Bus namespace.')
output SERVICE_BUS_NAMESPACE string = queue.outputs.namespaceName

@description('The queue of dead letters, in the notation of Service Bus.')
output DEAD_LETTER_QUEUE string = queue.outputs.deadLetterAddress

@description('The Log Analytics workspace, by the id that queries name.')
output LOG_WORKSPACE_ID string = logs.outputs.workspaceCustomerId

@description('The workbook in the portal.')
output WORKBOOK_URL string = 'https://portal.azure.com/#resource${workbook.outputs.id}/workbook'

@description('Creates the webhook in Dastra, with its key in the vault. By hand: create it, then dastra-webhooks key set.')
output NEXT_STEP string = 'export DASTRA_CLOUD=azure DASTRA_STACK=${environmentName} && .venv/bin/dastra-webhooks register --workspace ID --all'
