import type { Fix } from './rankReport.ts'

interface FixText {
  title: string
  why: string
  effort: Fix['effort']
}

const text = (title: string, why: string, effort: Fix['effort'] = 'small'): FixText => ({ title, why, effort })

/** What a rule's findings come to, for whoever decides what to do first. */
export const FIX_TEXTS: Record<string, FixText> = {
  'dependencies.unreadable': text('Repair files that do not parse', 'What is not read is not checked, and may not install.'),
  'dependencies.no-lock-file': text(
    'Commit a lock file',
    'Two installations can get different code, and an attack on a release reaches you at once.',
  ),
  'dependencies.any-version': text('Bound the versions that accept anything', 'A breaking release is taken without anyone deciding so.'),
  'dependencies.unpinned': text('Pin what only a range bounds', 'Without a lock file two installations can differ.'),
  'dependencies.missing-integrity': text('Add digests to the lock file', 'Changed content of a release would not be noticed.'),
  'dependencies.no-digests': text('Add hashes to the requirements', 'Changed content of a release would not be noticed.'),
  'dependencies.insecure-source': text('Fetch dependencies by https', 'Anyone on the way can change what is installed.'),
  'dependencies.git-source': text(
    'Replace git dependencies by releases',
    'No release, no registry that checks, and slow installs.',
    'medium',
  ),
  'dependencies.url-source': text(
    'Fetch dependencies from the registry',
    'An address outside the registry can vanish or change.',
    'medium',
  ),
  'dependencies.snapshot': text('Replace snapshots by releases', 'The content of a snapshot changes.', 'medium'),
  'dependencies.several-versions': text('Bring packages to one version', 'Several versions cost size and behave differently.', 'medium'),
  'documentation.no-readme': text('Write a README', 'Nobody can tell what this is or how to start.', 'medium'),
  'documentation.no-licence': text('Add a licence file', 'Without one nobody may use the work.'),
  'documentation.no-contributing': text('Write a guide for contributors', 'Others can not tell how to build, test and propose a change.'),
  'documentation.no-security': text('Say how to report a vulnerability', 'Who finds one has only public ways to tell you.'),
  'documentation.no-changelog': text('Start a changelog', 'Users can not tell what a new version changes for them.'),
  'documentation.readme-short': text('Say more in the README', 'It is the first thing anyone reads.', 'medium'),
  'documentation.readme-install': text('Tell in the README how to install', 'It is what most readers come for.'),
  'documentation.readme-usage': text('Show in the README how it is used', 'An example tells more than a description.'),
  'documentation.broken-link': text('Repair broken links', 'Readers come to nothing.'),
  'documentation.broken-anchor': text('Repair links to headings', 'Readers come to the wrong place.'),
  'docker.root-user': text('Run containers as a user of their own', 'Who breaks out of the process is root.'),
  'docker.latest-tag': text('Name versions of base images', 'A build of tomorrow is another build.'),
  'docker.add-url': text('Check what ADD fetches', 'Changed content would go into the image unseen.'),
  'docker.pipe-to-shell': text('Do not run fetched scripts unseen', 'Whoever owns the address owns the image.'),
  'docker.secret-in-image': text('Take secrets out of images', 'Whoever has the image can read them.', 'medium'),
  'workflow.no-permissions': text(
    'Give workflows only the permissions they need',
    'A step that is taken over could write to the repository.',
  ),
  'workflow.write-all': text('Name the permissions of workflows', 'A step that is taken over could write everything.'),
  'workflow.unpinned-action': text('Pin actions by commit', 'Whoever moves the tag runs code with your token.'),
  'workflow.unpinned-image': text('Pin images of workflows by digest', 'Whoever moves the tag runs code with your token.'),
  'workflow.script-injection': text("Keep strangers' text out of scripts", 'The title of an issue could run commands in your workflow.'),
  'workflow.untrusted-checkout': text(
    "Do not run strangers' code with your secrets",
    'A pull request could read every secret of the repository.',
  ),
  'gitlab.remote-include': text('Include CI files at a fixed ref', 'Whoever owns the address owns your pipeline.'),
  'kubernetes.privileged': text('Take privileges from containers', 'A privileged container owns the node.', 'medium'),
  'kubernetes.root-user': text('Do not run pods as root', 'Who breaks out of the process is root.', 'medium'),
  'kubernetes.may-run-as-root': text('Keep pods from running as root', 'Nothing stops an image that runs as root.'),
  'kubernetes.latest-tag': text('Name versions of images in manifests', 'A restart can bring other code.'),
  'kubernetes.no-memory-limit': text('Limit the memory of containers', 'One leak can starve the node.'),
  'kubernetes.host-path': text('Do without folders of the node', 'A container that is taken over reads the node.', 'medium'),
  'kubernetes.host-namespace': text("Do not share the node's namespaces", 'A container that is taken over sees the node.', 'medium'),
  'kubernetes.secret-in-git': text('Take Kubernetes secrets out of git', 'Base64 hides nothing.', 'medium'),
  'kubernetes.secret-in-env': text('Take secret values out of manifests', 'Whoever reads the repository reads them.', 'medium'),
  'compose.privileged': text('Take privileges from services', 'A privileged container owns the machine.', 'medium'),
  'compose.docker-socket': text('Do not hand out the Docker socket', 'Who has it owns the machine.', 'medium'),
  'compose.host-network': text('Publish ports instead of sharing the network', 'The service can reach what only the machine should.'),
  'compose.latest-tag': text('Name versions of images in compose files', 'A start of tomorrow brings other code.'),
  'compose.secret-in-env': text('Take secret values out of compose files', 'Whoever reads the repository reads them.'),
  'terraform.no-required-version': text('State the Terraform version', 'Another version can plan other changes.'),
  'terraform.unpinned-provider': text('Bound provider versions', 'A new major version can replace resources.'),
  'infrastructure.no-ci': text('Set up continuous integration', 'Nothing tests a change before it lands.', 'medium'),
  'infrastructure.no-dependency-updates': text('Turn on proposals for updates', 'Known holes stay open until someone looks.'),
  'infrastructure.unreadable': text('Repair infrastructure files that do not parse', 'What is not read is not checked.'),
}
