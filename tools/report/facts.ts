import { z } from 'zod'

const Amount = z.looseObject({
  tokens: z.number().optional(),
  costMicros: z.number().optional(),
  calls: z.number().optional(),
  seconds: z.number().optional(),
})

const Made = z.looseObject({
  id: z.string(),
  title: z.string(),
  persona: z.string().optional(),
  status: z.string(),
  wave: z.number().default(1),
  message: z.string().optional(),
  startedAt: z.string().optional(),
  endedAt: z.string().optional(),
  spent: Amount.default({}),
  rounds: z.number().default(0),
  decision: z
    .looseObject({ verdict: z.string(), reasons: z.array(z.looseObject({ rule: z.string(), text: z.string() })).default([]) })
    .optional(),
  output: z.unknown().optional(),
})
export type Made = z.infer<typeof Made>

/** What the activity `project.facts` gathers. Loose: a report of a project that went wrong is needed most. */
export const Facts = z.looseObject({
  project: z.looseObject({
    id: z.string(),
    name: z.string(),
    brief: z.string().default(''),
    createdAt: z.string().optional(),
    inputs: z.record(z.string(), z.unknown()).default({}),
  }),
  deliverables: z.array(Made),
  budget: z.looseObject({ limit: Amount.default({}), spent: Amount.default({}) }).default({ limit: {}, spent: {} }),
  approvals: z
    .array(
      z.looseObject({
        id: z.string(),
        action: z.string(),
        status: z.string(),
        decidedBy: z.string().optional(),
        deliverable: z.string().optional(),
      }),
    )
    .default([]),
  decisions: z
    .looseObject({ total: z.number(), allowed: z.number(), denied: z.number(), meanScore: z.number() })
    .default({ total: 0, allowed: 0, denied: 0, meanScore: 1 }),
  review: z.looseObject({ verdict: z.string(), compliance: z.number(), budgetVariance: z.number(), notes: z.array(z.string()) }).optional(),
  ledger: z.looseObject({ position: z.string(), hash: z.string() }).default({ position: '0', hash: '' }),
})
export type Facts = z.infer<typeof Facts>

/** What a deliverable gave, when it was made and is what the report can show. */
export function outputOf<Output>(facts: Facts, id: string, shape: z.ZodType<Output>): Output | undefined {
  return shape.safeParse(facts.deliverables.find((each) => each.id === id)?.output).data
}

const Person = { name: z.string(), email: z.string() }
const Findings = z.array(
  z.object({
    rule: z.string(),
    severity: z.string(),
    path: z.string(),
    line: z.number().optional(),
    message: z.string(),
    advice: z.string(),
  }),
)
export type Finding = z.infer<typeof Findings>[number]
const Files = z.object({ files: z.number(), bytes: z.number() })
const Coverage = z.object({ commits: z.number(), truncated: z.boolean(), shallow: z.boolean() })
const Edge = z.object({ oid: z.string(), at: z.string(), subject: z.string(), author: z.object(Person) })

export const InventoryOutput = z.object({
  repository: z.object({
    path: z.string(),
    head: z.string().optional(),
    branch: z.string().optional(),
    shallow: z.boolean(),
    empty: z.boolean(),
    commits: z.number(),
    branches: z.number(),
    tags: z.number(),
    files: z.number(),
    bytes: z.number(),
    first: Edge.optional(),
    last: Edge.optional(),
    submodules: z.array(z.object({ path: z.string(), commit: z.string(), url: z.string().optional() })),
  }),
  languages: z.object({
    totals: z.object({ files: z.number(), bytes: z.number(), lines: z.number(), code: z.number(), comment: z.number() }),
    languages: z.array(
      z.object({
        name: z.string(),
        type: z.string(),
        color: z.string().nullable(),
        files: z.number(),
        lines: z.number(),
        bytes: z.number(),
        share: z.number(),
      }),
    ),
    excluded: z.object({ generated: Files, vendored: Files, documentation: Files }),
    binary: Files,
    tests: z.object({ files: z.number(), lines: z.number(), share: z.number() }),
    largest: z.array(z.object({ path: z.string(), bytes: z.number(), binary: z.boolean(), language: z.string().nullable() })),
  }),
})

export const ActivityOutput = z.object({
  activity: z.object({
    coverage: Coverage,
    additions: z.number(),
    deletions: z.number(),
    firstAt: z.string().optional(),
    lastAt: z.string().optional(),
    weeks: z.array(z.object({ week: z.iso.date(), commits: z.number() })),
    punchCard: z.array(z.array(z.number())),
    authorCount: z.number(),
    authors: z.array(
      z.object({ ...Person, commits: z.number(), additions: z.number(), deletions: z.number(), firstAt: z.string(), lastAt: z.string() }),
    ),
  }),
  churn: z.object({
    filesChanged: z.number(),
    hotSpots: z.array(z.object({ path: z.string(), changes: z.number(), size: z.number(), score: z.number() })),
  }),
})

const Knowledge = {
  busFactor: z.number(),
  holderCount: z.number(),
  holders: z.array(z.object({ ...Person, share: z.number(), lastAt: z.string(), away: z.boolean() })),
}

export const OwnershipOutput = z.object({
  coverage: Coverage,
  asOf: z.string(),
  whole: z.object(Knowledge),
  folders: z.array(z.object({ ...Knowledge, folder: z.string(), files: z.number(), atRisk: z.boolean() })),
  atRisk: z.array(z.string()),
})

export const DependenciesOutput = z.object({
  totals: z.object({
    dependencies: z.number(),
    direct: z.number(),
    dev: z.number(),
    withoutIntegrity: z.number(),
    byEcosystem: z.record(z.string(), z.number()),
  }),
  lockFiles: z.array(
    z.object({
      path: z.string(),
      ecosystem: z.string(),
      format: z.string(),
      readable: z.boolean(),
      dependencies: z.number(),
      direct: z.number(),
      dev: z.number(),
      withoutIntegrity: z.number(),
    }),
  ),
  manifests: z.array(z.object({ path: z.string(), ecosystem: z.string(), declared: z.number(), lockFile: z.string().nullable() })),
  problems: Findings,
})

export const LicencesOutput = z.object({
  repository: z.object({ expression: z.string().nullable(), group: z.string(), disagreement: z.boolean() }),
  totals: z.object({ dependencies: z.number(), stated: z.number(), unknown: z.number() }),
  groups: z.array(
    z.object({
      group: z.string(),
      dependencies: z.number(),
      licences: z.array(z.object({ expression: z.string(), dependencies: z.number() })),
    }),
  ),
  conflicts: z.array(
    z.object({
      name: z.string(),
      version: z.string().nullable(),
      expression: z.string(),
      severity: z.string(),
      reason: z.string(),
      advice: z.string(),
    }),
  ),
  unclear: z.array(z.object({ name: z.string(), version: z.string().nullable(), ecosystem: z.string(), stated: z.string().nullable() })),
})

export const SecretsOutput = z.object({
  findings: z.array(
    z.object({
      kind: z.string(),
      severity: z.string(),
      message: z.string(),
      masked: z.string(),
      path: z.string(),
      line: z.number(),
      atHead: z.boolean(),
      firstCommit: z.string().nullable(),
      firstAt: z.string().nullable(),
      places: z.number(),
    }),
  ),
  totals: z.object({ secrets: z.number(), atHead: z.number(), onlyInHistory: z.number() }),
  coverage: z.object({
    history: z.boolean(),
    complete: z.boolean(),
    shallow: z.boolean(),
    commits: z.object({ total: z.number(), covered: z.number() }),
    scanned: z.number(),
    bytes: z.number(),
    seconds: z.number(),
    skipped: z.object({ binary: z.number(), tooLarge: z.number(), missing: z.number(), byPath: z.number() }),
  }),
})

const Place = z.string().nullable()
export const DocumentationOutput = z.object({
  readme: z
    .object({
      path: z.string(),
      words: z.number(),
      hasInstall: z.boolean(),
      hasUsage: z.boolean(),
      hasLicence: z.boolean(),
      hasContributing: z.boolean(),
    })
    .nullable(),
  community: z.object({
    licence: Place,
    contributing: Place,
    security: Place,
    changelog: Place,
    codeOfConduct: Place,
    codeOwners: Place,
    pullRequestTemplate: Place,
  }),
  docs: z.object({ folder: Place, markdownFiles: z.number(), words: z.number() }),
  links: z.object({ relative: z.number(), anchors: z.number(), broken: z.number(), external: z.number(), insecure: z.number() }),
  images: z.object({ total: z.number(), withoutAlt: z.number() }),
  findings: Findings,
})

const Paths = z.array(z.string())
export const InfrastructureOutput = z.object({
  scan: z.object({
    files: z.object({
      dockerfiles: Paths,
      compose: Paths,
      workflows: Paths,
      gitlabCi: Paths,
      kubernetes: Paths,
      helmCharts: Paths,
      terraform: Paths,
    }),
    practices: z.object({
      ci: Paths,
      dependencyUpdates: Paths,
      editorConfig: z.boolean(),
      preCommit: Paths,
      dockerIgnore: z.boolean(),
      devContainer: z.boolean(),
    }),
    checked: z.number(),
    unreadable: z.number(),
    findings: Findings,
  }),
  terraform: z.array(
    z.object({
      path: z.string(),
      validation: z
        .object({
          valid: z.boolean(),
          complete: z.boolean(),
          diagnostics: z.array(
            z.object({ severity: z.string(), summary: z.string(), file: z.string().optional(), line: z.number().optional() }),
          ),
        })
        .nullable(),
    }),
  ),
})

/** What scan.rank gave; the report lists it, HEALTH.md is made from it. */
export const SummaryOutput = z.object({
  score: z.number(),
  grade: z.string(),
  arithmetic: z.string().default(''),
  areas: z.array(
    z.object({
      area: z.string(),
      score: z.number(),
      grade: z.string(),
      weight: z.number(),
      arithmetic: z.array(z.object({ reason: z.string(), points: z.number() })).default([]),
    }),
  ),
  notAssessed: z.array(z.object({ area: z.string(), reason: z.string() })).default([]),
  fixes: z.array(
    z.object({
      rank: z.number(),
      area: z.string(),
      severity: z.string(),
      title: z.string(),
      why: z.string(),
      advice: z.string(),
      effort: z.string(),
      evidence: z.array(z.object({ path: z.string(), line: z.number().optional() })),
      occurrences: z.number(),
    }),
  ),
})
export type Summary = z.infer<typeof SummaryOutput>
