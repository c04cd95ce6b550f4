import swagger from '@fastify/swagger'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { isWrite } from './idempotent-writes.ts'
import { PROBLEM_MEDIA_TYPE, Problem } from './problem.ts'

type Part = Record<string, unknown>
interface Operation {
  operationId?: string
  parameters?: unknown[]
  responses?: Record<string, Part>
}

const RATE_HEADERS = {
  'ratelimit-limit': 'Requests a minute that the caller may make.',
  'ratelimit-remaining': 'Requests left of them.',
  'ratelimit-reset': 'Seconds until the count begins again.',
}

const SECURITY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer', description: 'An API key (`soma_…`) or a token (JWT).' },
} as const

const COMPONENTS = {
  parameters: {
    IdempotencyKey: {
      name: 'Idempotency-Key',
      in: 'header',
      required: false,
      description: 'Makes it safe to send the request again: for 24 hours the same key gives the first answer. A UUID, for instance.',
      schema: { type: 'string', minLength: 1, maxLength: 255 },
    },
  },
  headers: Object.fromEntries(
    [...Object.entries(RATE_HEADERS), ['retry-after', 'Seconds after which to try again.'] as const].map(([name, description]) => [
      name,
      { description, schema: { type: 'integer' } },
    ]),
  ),
}

/** Makes the OpenAPI 3.1 document from the routes' schemas, and adds what holds for every route. */
export async function addOpenApi(
  app: FastifyInstance,
  about: { version: string; tags: { name: string; description: string }[] },
): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info: {
        title: 'SomaAgent',
        version: about.version,
        description:
          'AI agents do real work with real credentials, under control. Errors are RFC 9457 problem details with a stable `code`.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      // Relative: the document is right under any address it is read from.
      servers: [{ url: '/' }],
      tags: about.tags,
      components: { securitySchemes: SECURITY_SCHEMES },
    },
    transform: (document) => {
      const { schema, url } = jsonSchemaTransform({ ...document, schema: document.schema ?? {} })
      return { schema: { ...schema, ...fromAction(document.route), ...(document.schema?.hide ? { hide: true } : {}) }, url }
    },
    transformObject: (document) => withCommonParts(jsonSchemaTransformObject(document) as Part),
  })
}

/** @throws when two routes have one operation id: generated clients name their functions after it. */
export function assertUniqueOperations(document: Part): void {
  const seen = new Map<string, string>()
  for (const [place, { operationId }] of operationsOf(document)) {
    if (!operationId) continue
    const other = seen.get(operationId)
    if (other) throw new Error(`${place} and ${other} both are the operation "${operationId}". Give each its own config.action.name.`)
    seen.set(operationId, place)
  }
}

function fromAction(route: RouteOptions): Part {
  const { action, service } = route.config ?? {}
  if (!action) return { hide: true }
  return {
    operationId: action.name,
    ...(service ? { tags: [service] } : {}),
    ...(action.public ? {} : { security: [{ bearer: [] }] }),
    'x-soma-capability': action.capability,
    'x-soma-effect': action.effect,
    'x-soma-idempotency': isWrite(String(route.method)) && !action.public && route.config?.idempotency !== false,
  }
}

function withCommonParts(document: Part): Part {
  for (const [, operation] of operationsOf(document)) {
    const fields = operation as Operation & Part
    if (fields['x-soma-idempotency'])
      operation.parameters = [...(operation.parameters ?? []), { $ref: '#/components/parameters/IdempotencyKey' }]
    delete fields['x-soma-idempotency']
    for (const response of Object.values(operation.responses ?? {})) {
      response.headers = {
        ...Object.fromEntries(Object.keys(RATE_HEADERS).map(headerReference)),
        ...(response.headers as Part | undefined),
      }
    }
    operation.responses = { ...operation.responses, default: { $ref: '#/components/responses/Problem' } }
  }
  const components = document.components as Part
  const problem = z.toJSONSchema(Problem, { target: 'draft-2020-12' })
  delete problem.$schema
  document.components = {
    ...components,
    ...COMPONENTS,
    schemas: { ...(components.schemas as Part | undefined), Problem: problem },
    responses: {
      Problem: {
        description: 'What was wrong, and what to do.',
        headers: { 'retry-after': { $ref: '#/components/headers/retry-after' } },
        content: { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
  return document
}

function headerReference(name: string): [string, Part] {
  return [name, { $ref: `#/components/headers/${name}` }]
}

function* operationsOf(document: Part): Generator<[string, Operation]> {
  for (const [path, methods] of Object.entries((document.paths ?? {}) as Record<string, Record<string, Operation>>)) {
    for (const [method, operation] of Object.entries(methods)) yield [`${method.toUpperCase()} ${path}`, operation]
  }
}
