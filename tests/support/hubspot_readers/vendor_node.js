// HubSpot's own Node client: lists with associations, searches and batch reads, page by page.
const { Client } = require('@hubspot/api-client')

const PAGE = 17
const PAIRS = [['contacts', 'companies'], ['deals', 'companies'], ['deals', 'contacts']]

async function listed(getPage) {
  const found = []
  let after
  do {
    const page = await getPage(after)
    found.push(...page.results)
    after = page.paging?.next?.after
  } while (after)
  return found
}

async function main(basePath) {
  const { crm } = new Client({ accessToken: 'pat-reader', basePath, limiterOptions: { maxConcurrent: 10 } })
  const document = { records: {}, searched: {}, types: {}, links: [], owners: [], pipelines: {} }
  const flat = (record) => ({ id: record.id, properties: record.properties })
  for (const name of ['contacts', 'companies', 'deals']) {
    const properties = (await crm.properties.coreApi.getAll(name)).results
    const names = properties.map((p) => p.name)
    document.types[name] = Object.fromEntries(properties.map((p) => [p.name, p.type]))
    const { basicApi, searchApi } = crm[name]
    const records = await listed((after) => basicApi.getPage(PAGE, after, names, undefined, undefined, false))
    document.records[name] = records.map(flat)
    const filters = [{ propertyName: 'hs_object_id', operator: 'GT', value: '0' }]
    const everything = { filterGroups: [{ filters }], sorts: ['hs_object_id'], properties: names, limit: PAGE }
    const found = await listed((after) => searchApi.doSearch({ ...everything, after: after ?? '0' }))
    document.searched[name] = found.map(flat)
  }
  for (const [from, to] of PAIRS) {
    const ids = document.records[from].map(({ id }) => ({ id }))
    for (let start = 0; start < ids.length; start += PAGE) {
      const inputs = ids.slice(start, start + PAGE)
      const answer = await crm.associations.v4.batchApi.getPage(from, to, { inputs })
      for (const result of answer.results) {
        for (const other of result.to) {
          for (const { typeId } of other.associationTypes) {
            document.links.push([from, result._from.id, to, String(other.toObjectId), typeId])
          }
        }
      }
    }
  }
  document.owners = (await listed((after) => crm.owners.ownersApi.getPage(undefined, after, 2, false))).map((o) => o.id)
  for (const pipeline of (await crm.pipelines.pipelinesApi.getAll('deals')).results) {
    document.pipelines.deals = { ...document.pipelines.deals, [pipeline.id]: pipeline.stages.map((s) => s.id) }
  }
  process.stdout.write(JSON.stringify(document))
}

main(process.argv[2]).catch((error) => {
  console.error(error)
  process.exit(1)
})
