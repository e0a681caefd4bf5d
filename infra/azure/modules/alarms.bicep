// Every alarm goes to one action group. Most search the log, since the log is where the receiver says what happened;
// what the platform counts by itself is watched as a metric, which is quicker and costs less.

@description('Where.')
param location string

@description('Tags of everything.')
param tags object

@description('What every alarm\'s name begins with.')
param prefix string

@description('Where mails go; empty for nowhere.')
param notificationEmail string

@description('How often the log is searched.')
param every string

@description('Hours without an event that alarm; 0 for none.')
param silenceHours int

@description('Whether Dastra is asked about the webhooks.')
param webhookCheck bool

@description('How the host hands a request on.')
param httpForm string

@description('The Log Analytics workspace.')
param workspaceId string

@description('The function app.')
param receiverId string

@description('The Service Bus namespace.')
param namespaceId string

@description('The queue in it.')
param queueName string

// One line of ours is one JSON object; its message is the event. What the host writes is text.
var lines = 'AppTraces | where Message startswith "{" | extend line = parse_json(Message) | extend event = tostring(line.message)'
var handbook = 'What to do: docs/operations.md,'

// A window is longer than the time between two searches, because lines arrive minutes late. An alarm that has fired
// stays one alarm until its window is clear.
//
// The three gauges come with every redrive run, each five minutes. No run in the window is as bad as what they measure:
// then nobody looks after the store. summarize makes a row of nothing too, and so the condition holds.
var logAlarms = [
  {
    name: 'event_lost'
    severity: 0
    window: 'PT15M'
    query: '${lines} | where event in ("event_lost", "no_key", "internal_error")'
    description: 'Severity: highest. A request was answered 503: neither the queue nor the store took a genuine event, or no key is set yet. Dastra does not send it again. ${handbook} event_lost.'
  }
  {
    name: 'platform_error'
    severity: 0
    window: 'PT15M'
    // 503 is the receiver's own answer and has an alarm of its own. A timer has no status, hence the name of its run.
    query: 'AppRequests | where (toint(ResultCode) >= 500 and ResultCode != "503") or ResultCode == "429" or (Success == false and OperationName == "redrive")'
    description: 'Severity: highest. The receiver crashed or ran into its timeout, so Azure answered in its place and an event may be lost; or a redrive run failed. ${handbook} platform_error.'
  }
  {
    name: 'bad_signature'
    severity: 1
    window: 'PT15M'
    query: '${lines} | where event == "bad_signature" and coalesce(tobool(line.listed), false)'
    description: 'Severity: high. A listed address sent a well-formed signature that no key made: the key is wrong or was rotated. Four more and Dastra blocks the webhook. ${handbook} bad_signature.'
  }
  {
    name: 'bad_signature_low'
    severity: 3
    window: 'PT15M'
    query: '${lines} | where event == "bad_signature" and not(coalesce(tobool(line.listed), false))'
    description: 'Severity: low. An address off the list sent a well-formed signature that no key made: somebody is trying, or Dastra\'s address and key both changed. ${handbook} bad_signature.'
  }
  {
    name: 'authentic_from_unlisted_address'
    severity: 1
    window: 'PT15M'
    query: '${lines} | where event == "authentic_from_unlisted_address"'
    description: 'Severity: high. A genuine event came from an address off the list: Dastra\'s addresses changed, or a key leaked. ${handbook} authentic_from_unlisted_address.'
  }
  {
    name: 'too_large'
    severity: 1
    window: 'PT15M'
    query: '${lines} | where event == "too_large"'
    description: 'Severity: high. A request that may be Dastra\'s was larger than the limit and was answered 413; its event is lost. ${handbook} too_large.'
  }
  {
    name: 'spooled'
    severity: 1
    window: 'PT15M'
    query: '${lines} | where event == "redrive" | summarize runs = count(), oldest = max(toint(line.spool_oldest_seconds)) | where runs == 0 or oldest > 900'
    description: 'Severity: high. An event has waited in the store for 15 minutes because the queue does not take it, or redrive does not run. ${handbook} spooled.'
  }
  {
    name: 'quarantined'
    severity: 1
    window: 'PT15M'
    query: '${lines} | where event == "redrive" | summarize clear = countif(toint(line.quarantine_count) == 0) | where clear == 0'
    description: 'Severity: high. Genuine events wait in quarantine for a person to release or drop them, or redrive does not run. ${handbook} quarantined.'
  }
  {
    name: 'expiring'
    severity: 0
    window: 'PT15M'
    query: '${lines} | where event == "redrive" | summarize clear = countif(toint(line.expiring_count) == 0) | where clear == 0'
    description: 'Severity: highest. Stored events are older than 23 days; after 30 the store deletes them for good. Or redrive does not run. ${handbook} expiring.'
  }
  {
    name: 'slow'
    severity: 3
    window: 'PT15M'
    query: '${lines} | where event in ("accepted", "spooled", "quarantined", "event_lost", "no_key") | summarize p99 = percentile(toreal(line.duration_ms), 99) | where p99 > 3000'
    description: 'Severity: low. Answers take more than 3 seconds (99th percentile of 15 minutes), half of the time budget. ${handbook} slow.'
  }
]

var silenceAlarm = [
  {
    name: 'silence'
    severity: 1
    window: silenceHours > 24 ? 'P2D' : 'P1D'
    query: '${lines} | where TimeGenerated > ago(${silenceHours}h) | where event in ("accepted", "spooled", "quarantined", "event_lost", "no_key") | summarize events = count() | where events == 0'
    description: 'Severity: high. No event for ${silenceHours} hours: Dastra may have blocked the webhook. ${handbook} silence.'
  }
]

// A check comes each fifteen minutes and its line minutes late, so one in two counts twice as long as it is new. That
// nobody knows is told by the third, after three checks: one that fails is nothing.
var checkAlarms = [
  {
    name: 'webhook_errors'
    severity: 1
    window: 'PT30M'
    query: '${lines} | where event == "webhook_check" and toint(line.errors) > 0'
    description: 'Severity: high. Dastra has counted errors of a webhook; after five it blocks it for good. ${handbook} webhook_errors.'
  }
  {
    name: 'webhook_blocked'
    severity: 0
    window: 'PT30M'
    query: '${lines} | where event == "webhook_check" and toint(line.blocked) > 0'
    description: 'Severity: highest. Dastra has blocked a webhook: no event of it comes any more, and none is sent again. ${handbook} webhook_blocked.'
  }
  {
    name: 'webhook_check_failed'
    severity: 1
    window: 'PT45M'
    query: '${lines} | where event == "webhook_check" | summarize runs = count() | where runs == 0'
    description: 'Severity: high. For 45 minutes no check could read from Dastra\'s API how the webhooks are: the API key, the API, or the check itself does not run. ${handbook} webhook_check_failed.'
  }
]

var classicAlarm = [
  {
    name: 'body_not_received'
    severity: 1
    window: 'PT15M'
    query: '${lines} | where event == "body_not_received"'
    description: 'Severity: high. A request that may be Dastra\'s came in chunks, and the host handed it on without its body: it was answered 401. Set HTTP_FORM to streaming. ${handbook} body_not_received.'
  }
]

var metricAlarms = [
  {
    name: 'platform_error_5xx'
    severity: 0
    scope: receiverId
    namespace: 'Microsoft.Web/sites'
    metric: 'Http5xx'
    dimensions: []
    aggregation: 'Total'
    window: 'PT5M'
    every: 'PT1M'
    threshold: 0
    description: 'Severity: highest. Azure counted an answer 5xx. Where event_lost fires at the same time it was the receiver\'s own 503; otherwise the request may never have reached it. ${handbook} platform_error.'
  }
  {
    name: 'dead_letters'
    severity: 1
    scope: namespaceId
    namespace: 'Microsoft.ServiceBus/namespaces'
    metric: 'DeadletteredMessages'
    dimensions: [
      {
        name: 'EntityName'
        operator: 'Include'
        values: [queueName]
      }
    ]
    aggregation: 'Maximum'
    window: 'PT5M'
    every: 'PT1M'
    threshold: 0
    description: 'Severity: high. A consumer gave up on a message, or nobody read it for four days. Service Bus keeps it until somebody takes it. ${handbook} dead_letters.'
  }
  {
    name: 'unread'
    severity: 2
    scope: namespaceId
    namespace: 'Microsoft.ServiceBus/namespaces'
    metric: 'ActiveMessages'
    dimensions: [
      {
        name: 'EntityName'
        operator: 'Include'
        values: [queueName]
      }
    ]
    aggregation: 'Minimum'
    window: 'P1D'
    every: 'PT1H'
    threshold: 0
    description: 'Severity: medium. The queue was not empty once in a day: no consumer reads, or it is too slow. After four days messages become dead letters. ${handbook} unread.'
  }
]

resource actions 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${prefix}-alarms'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'dastra'
    enabled: true
    emailReceivers: empty(notificationEmail) ? [] : [
      {
        name: 'alarms'
        emailAddress: notificationEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource logRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alarm in concat(logAlarms, silenceHours > 0 ? silenceAlarm : [], webhookCheck ? checkAlarms : [], httpForm == 'classic' ? classicAlarm : []): {
    name: '${prefix}-${alarm.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: '${prefix} ${alarm.name}'
      description: alarm.description
      severity: alarm.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: alarm.name == 'silence' ? 'PT1H' : every
      windowSize: alarm.window
      autoMitigate: true
      // Nothing has logged yet when the rule is made.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: alarm.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: [actions.id]
      }
    }
  }
]

resource metricRules 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for alarm in metricAlarms: {
    name: '${prefix}-${alarm.name}'
    location: 'global'
    tags: tags
    properties: {
      description: alarm.description
      severity: alarm.severity
      enabled: true
      scopes: [alarm.scope]
      evaluationFrequency: alarm.every
      windowSize: alarm.window
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: alarm.name
            metricNamespace: alarm.namespace
            metricName: alarm.metric
            dimensions: alarm.dimensions
            operator: 'GreaterThan'
            threshold: alarm.threshold
            timeAggregation: alarm.aggregation
            // A metric without values yet is not known to Azure Monitor.
            skipMetricValidation: true
          }
        ]
      }
      actions: [
        {
          actionGroupId: actions.id
        }
      ]
    }
  }
]
