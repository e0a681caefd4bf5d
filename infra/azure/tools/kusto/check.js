// Microsoft's own parser over queries: `node check.js FOLDER < queries.json`, FOLDER having the package's node_modules.
// Reads {"tables": {name: "(column: type, ...)"}, "queries": {name: text}}; writes {name: [what is wrong, ...]}.
const fs = require('fs')
const path = require('path')
const vm = require('vm')

const place = path.join(process.argv[2], 'node_modules/@kusto/language-service-next')
for (const file of ['bridge.min.js', 'Kusto.Language.Bridge.min.js']) {
  vm.runInThisContext(fs.readFileSync(path.join(place, file), 'utf8'), { filename: file })
}
const { KustoCode, GlobalState, Symbols } = globalThis.Kusto.Language

const input = JSON.parse(fs.readFileSync(0, 'utf8'))
const tables = Object.entries(input.tables).map(([name, columns]) => Symbols.TableSymbol.From(columns).WithName(name))
const database = new Symbols.DatabaseSymbol.ctor('workspace', tables)
const state = GlobalState.Default.WithDatabase(database)
const faults = {}
for (const [name, query] of Object.entries(input.queries)) {
  const found = KustoCode.ParseAndAnalyze(query, state).GetDiagnostics()
  faults[name] = Array.from({ length: found.Count }, (_, number) => found.getItem(number).Message)
}
process.stdout.write(JSON.stringify(faults))
