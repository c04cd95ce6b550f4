import { describe, expect, it } from 'vitest'
import { commitFiles, contextFor, emptyRepository } from '../frame/testing.ts'
import { infrastructure } from './infrastructure.ts'

async function scanFiles(files: Record<string, string>) {
  const repository = await emptyRepository()
  await commitFiles(repository, { ...files, '.github/workflows/ok.yml': 'on: push\npermissions: { contents: read }\njobs: {}\n' })
  const report = await infrastructure.run(infrastructure.input.parse({ repository }), contextFor('/'))
  expect(infrastructure.output.parse(report)).toEqual(report)
  return report
}

async function found(path: string, text: string) {
  const { findings } = await scanFiles({ [path]: text })
  return findings.map(({ rule, severity, line }) => [rule, severity, line])
}

describe('scan.infrastructure', () => {
  it('checks Dockerfiles', async () => {
    const text = `FROM node AS build\nFROM node:20@sha256:${'a'.repeat(64)}\nADD https://example.org/x.tgz /x\nENV API_TOKEN=abcdef HOST=a\nRUN curl https://example.org/i.sh | sh\nCOPY --from=build /a /a\n`
    expect(await found('Dockerfile', text)).toEqual([
      ['docker.secret-in-image', 'high', 4],
      ['docker.latest-tag', 'medium', 1],
      ['docker.root-user', 'medium', 2],
      ['docker.add-url', 'medium', 3],
      ['docker.pipe-to-shell', 'medium', 5],
    ])
    expect(await found('app/Dockerfile', 'FROM node:20 AS a\nFROM a\nARG TOKEN\nENV TOKEN=$TOKEN\nUSER node\n')).toEqual([])
    expect(await found('Dockerfile', '# nothing\n')).toEqual([['infrastructure.unreadable', 'medium', undefined]])
  })

  it('checks workflows', async () => {
    const text = [
      'on: pull_request_target',
      'jobs:',
      '  a:',
      '    runs-on: x',
      '    steps:',
      '      - uses: actions/checkout@v4',
      '        with:',
      '          ref: ${{ github.event.pull_request.head.sha }}',
      '      - uses: someone/action@main',
      `      - uses: someone/action@${'0'.repeat(40)}`,
      '      - uses: ./local',
      '      - run: echo "${{ github.event.issue.title }}"',
      '      - run: echo "${{ github.sha }}"',
    ].join('\n')
    expect(await found('.github/workflows/a.yml', text)).toEqual([
      ['workflow.untrusted-checkout', 'critical', 6],
      ['workflow.script-injection', 'high', 12],
      ['workflow.no-permissions', 'medium', 1],
      ['workflow.unpinned-action', 'medium', 9],
      ['workflow.unpinned-action', 'low', 6],
    ])
  })

  it('checks Kubernetes manifests, each document of a file', async () => {
    const text = [
      'apiVersion: v1',
      'kind: ConfigMap',
      '---',
      'apiVersion: apps/v1',
      'kind: Deployment',
      'spec:',
      '  template:',
      '    spec:',
      '      hostNetwork: true',
      '      volumes:',
      '        - hostPath: { path: / }',
      '      containers:',
      '        - name: app',
      '          image: app:latest',
      '          securityContext:',
      '            privileged: true',
      '            runAsUser: 0',
    ].join('\n')
    expect(await found('deploy/app.yaml', text)).toEqual([
      ['kubernetes.privileged', 'high', 15],
      ['kubernetes.host-namespace', 'medium', 9],
      ['kubernetes.host-path', 'medium', 11],
      ['kubernetes.latest-tag', 'medium', 14],
      ['kubernetes.root-user', 'medium', 15],
      ['kubernetes.no-memory-limit', 'low', 13],
    ])
    expect(await found('values.yaml', 'a: 1\n')).toEqual([])
    expect(await found('chart/templates/a.yaml', 'apiVersion: v1\nkind: Pod\n')).toEqual([])
  })

  it('checks compose files', async () => {
    const text =
      'services:\n  db:\n    image: postgres\n    environment:\n      POSTGRES_PASSWORD: hunter22\n      OTHER_PASSWORD: ${OTHER}\n    volumes:\n      - /var/run/docker.sock:/s\n'
    expect(await found('docker-compose.yml', text)).toEqual([
      ['compose.docker-socket', 'high', 8],
      ['compose.secret-in-env', 'medium', 4],
      ['compose.latest-tag', 'low', 3],
    ])
  })

  it('counts Terraform modules and finds what they leave open', async () => {
    const report = await scanFiles({
      'infra/main.tf': [
        '# resource "not" "this" {}',
        'terraform {',
        '  required_version = ">= 1.6"',
        '  required_providers {',
        '    aws = {',
        '      source  = "hashicorp/aws"',
        '      version = "~> 5.0"',
        '    }',
        '    random = { source = "hashicorp/random" }',
        '  }',
        '}',
        'resource "aws_s3_bucket" "a" {',
        '  bucket = "x } resource"',
        '  lifecycle { prevent_destroy = true }',
        '}',
        'resource "aws_s3_bucket" "b" {}',
      ].join('\n'),
      'other/main.tf': 'resource "null_resource" "x" {}\n',
    })
    expect(report.terraform.modules).toEqual([
      {
        path: 'infra',
        files: 1,
        resources: 2,
        requiredVersion: '>= 1.6',
        providers: [
          { name: 'aws', version: '~> 5.0', pinned: true },
          { name: 'random', version: null, pinned: false },
        ],
        lockFile: false,
      },
      { path: 'other', files: 1, resources: 1, requiredVersion: null, providers: [], lockFile: false },
    ])
    expect(report.findings.map(({ rule, path }) => [rule, path])).toEqual([
      ['terraform.unpinned-provider', 'infra/main.tf'],
      ['terraform.no-required-version', 'other/main.tf'],
    ])
  })

  it('names practices, goes on after files that do not parse, and reads an empty repository', async () => {
    const report = await scanFiles({
      '.gitlab-ci.yml': 'a: [',
      '.editorconfig': 'root = true\n',
      '.github/dependabot.yml': 'version: 2\n',
      '.pre-commit-config.yaml': 'repos: []\n',
    })
    expect(report.practices).toMatchObject({
      ci: ['GitHub Actions', 'GitLab CI'],
      dependencyUpdates: ['Dependabot'],
      editorConfig: true,
      preCommit: ['pre-commit'],
    })
    expect(report).toMatchObject({ unreadable: 1, findings: [{ rule: 'infrastructure.unreadable', path: '.gitlab-ci.yml' }] })
    const empty = await infrastructure.run(infrastructure.input.parse({ repository: await emptyRepository() }), contextFor('/'))
    expect(empty).toMatchObject({ commit: null, findings: [] })
  })
})
