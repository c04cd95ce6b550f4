import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import { SomaError } from '@soma/contracts/errors'
import type { Connection } from './connection.ts'
import { readProject } from './follow-project.ts'

export interface ReportFiles {
  html: string
  json: string
  evidence: string
}

/** Saves a project's report and its evidence. Gives the absolute paths. */
export async function writeReports(connection: Connection, id: string, folder: string): Promise<ReportFiles> {
  const project = await readProject(connection, id)
  if (!project.report) throw new SomaError('not_found', `Project ${id} has no report; it is ${project.status}.`, { status: project.status })
  const target = resolve(folder)
  await mkdir(target, { recursive: true })
  const files: ReportFiles = {
    html: join(target, 'index.html'),
    json: join(target, 'report.json'),
    evidence: join(target, 'evidence.jsonl'),
  }
  const path = `/v1/projects/${encodeURIComponent(id)}`
  await Promise.all([
    download(connection, `${path}/report?format=html`, files.html),
    download(connection, `${path}/report?format=json`, files.json),
    download(connection, `${path}/evidence`, files.evidence),
  ])
  return files
}

/** @throws what the server answered with, as SomaError */
export async function download(connection: Connection, path: string, file: string): Promise<void> {
  await pipeline(await openStream(connection, path), createWriteStream(file))
}

/** The body of an answer, piece by piece: a ledger can be larger than memory. */
export async function openStream({ fetch, url }: Connection, path: string): Promise<Readable> {
  const answer = await fetch(path)
  if (answer.ok && answer.body) return Readable.fromWeb(answer.body as ReadableStream)
  const problem = (await answer.json().catch(() => ({}))) as {
    code?: SomaError['code']
    detail?: string
    details?: Record<string, unknown>
  }
  throw new SomaError(
    problem.code ?? 'dependency_unavailable',
    problem.detail ?? `${url}${path} answered with status ${answer.status}.`,
    problem.details,
  )
}
