import type { Finding } from './finding.ts'
import { isMovingTag, namesSecret } from './imageRules.ts'
import { entriesOf, type Fields, fieldsOf, listOf, textOf } from './lockfiles/untyped.ts'
import type { YamlDocument } from './yamlFile.ts'

type Place = (string | number)[]

/** Where the pod is in each kind of workload. */
const POD: Record<string, string[]> = {
  Pod: ['spec'],
  Deployment: ['spec', 'template', 'spec'],
  StatefulSet: ['spec', 'template', 'spec'],
  DaemonSet: ['spec', 'template', 'spec'],
  ReplicaSet: ['spec', 'template', 'spec'],
  Job: ['spec', 'template', 'spec'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template', 'spec'],
}

/** Well-known mistakes in a Kubernetes manifest, after the Pod Security Standards. */
export function checkManifest(path: string, { fields, lineOf }: YamlDocument): Finding[] {
  const findings: Finding[] = []
  const add = (at: Place, rule: string, severity: Finding['severity'], message: string, advice: string) =>
    findings.push({ rule: `kubernetes.${rule}`, severity, path, line: lineOf(at), message, advice })
  const kind = textOf(fields.kind) ?? ''
  if (kind === 'Secret' && Object.keys({ ...fieldsOf(fields.data), ...fieldsOf(fields.stringData) }).length > 0) {
    add(
      ['kind'],
      'secret-in-git',
      'high',
      'A Secret with its values lies in git; base64 hides nothing.',
      'Use sealed secrets, SOPS or a secrets operator, and change the values.',
    )
  }
  const place = Object.hasOwn(POD, kind) ? POD[kind] : undefined
  if (!place) return findings
  const pod = place.reduce<Fields>((inside, key) => fieldsOf(inside[key]), fields)
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) {
    if (pod[field] === true)
      add(
        [...place, field],
        'host-namespace',
        'medium',
        `${field}: the pod shares the node's.`,
        'Remove it unless the node itself is what it manages.',
      )
  }
  listOf(pod.volumes).forEach((volume, index) => {
    if (fieldsOf(volume).hostPath !== undefined)
      add(
        [...place, 'volumes', index, 'hostPath'],
        'host-path',
        'medium',
        'A folder of the node is mounted.',
        'Use a volume claim or emptyDir.',
      )
  })
  for (const list of ['containers', 'initContainers']) {
    for (const [index, container] of listOf(pod[list]).entries()) {
      checkContainer(fieldsOf(container), [...place, list, index], fieldsOf(pod.securityContext), add)
    }
  }
  return findings
}

function checkContainer(
  container: Fields,
  at: Place,
  podContext: Fields,
  add: (at: Place, rule: string, severity: Finding['severity'], message: string, advice: string) => void,
): void {
  const name = textOf(container.name) ?? 'unnamed'
  const context = { ...podContext, ...fieldsOf(container.securityContext) }
  const image = textOf(container.image)
  if (context.privileged === true)
    add(
      [...at, 'securityContext'],
      'privileged',
      'high',
      `Container "${name}" is privileged: it owns the node.`,
      'Give only the capabilities it needs.',
    )
  if (context.runAsUser === 0 || context.runAsNonRoot === false)
    add([...at, 'securityContext'], 'root-user', 'medium', `Container "${name}" runs as root.`, 'Set runAsNonRoot: true and a runAsUser.')
  else if (context.runAsNonRoot !== true && context.runAsUser === undefined)
    add(at, 'may-run-as-root', 'low', `Nothing keeps container "${name}" from running as root.`, 'Set runAsNonRoot: true.')
  if (image !== undefined && isMovingTag(image))
    add([...at, 'image'], 'latest-tag', 'medium', `Image "${image}" is whatever is newest that day.`, 'Name a version, better a digest.')
  const limits = fieldsOf(fieldsOf(container.resources).limits)
  if (limits.memory === undefined)
    add(
      [...at, 'resources'],
      'no-memory-limit',
      'low',
      `Container "${name}" has no memory limit and can starve the node.`,
      'Set resources.limits.memory.',
    )
  listOf(container.env).forEach((value, index) => {
    const variable = fieldsOf(value)
    if (namesSecret(textOf(variable.name) ?? '', variable.value))
      add(
        [...at, 'env', index],
        'secret-in-env',
        'high',
        `${textOf(variable.name)} holds its value in the manifest.`,
        'Use valueFrom with a secretKeyRef, and change the value.',
      )
  })
}

/** Well-known mistakes in a compose file. */
export function checkCompose(path: string, { fields, lineOf }: YamlDocument): Finding[] {
  const findings: Finding[] = []
  for (const [name, service] of entriesOf(fields.services)) {
    const add = (at: Place, rule: string, severity: Finding['severity'], message: string, advice: string) =>
      findings.push({ rule: `compose.${rule}`, severity, path, line: lineOf(['services', name, ...at]), message, advice })
    const image = textOf(service.image)
    if (service.privileged === true)
      add(
        ['privileged'],
        'privileged',
        'high',
        `Service "${name}" is privileged: it owns the machine.`,
        'Give only the capabilities it needs, with cap_add.',
      )
    if (service.network_mode === 'host')
      add(['network_mode'], 'host-network', 'medium', `Service "${name}" shares the machine's network.`, 'Publish the ports it needs.')
    if (image !== undefined && isMovingTag(image))
      add(['image'], 'latest-tag', 'low', `Image "${image}" is whatever is newest that day.`, 'Name a version, better a digest.')
    listOf(service.volumes).forEach((volume, index) => {
      const source = textOf(volume) ?? textOf(fieldsOf(volume).source) ?? ''
      if (source.includes('docker.sock'))
        add(
          ['volumes', index],
          'docker-socket',
          'high',
          `Service "${name}" gets the Docker socket: it owns the machine.`,
          'Do without, or put a filtering proxy before it.',
        )
    })
    for (const [key, value] of variablesOf(service.environment)) {
      if (namesSecret(key, value))
        add(
          ['environment'],
          'secret-in-env',
          'medium',
          `${key} of service "${name}" holds its value in the file.`,
          'Take it from the environment, ${NAME}, or from secrets.',
        )
    }
  }
  return findings
}

function variablesOf(environment: unknown): [string, unknown][] {
  if (!Array.isArray(environment)) return Object.entries(fieldsOf(environment))
  return environment.map(String).map((line) => [line.split('=', 1)[0] ?? '', line.slice(line.indexOf('=') + 1)])
}
