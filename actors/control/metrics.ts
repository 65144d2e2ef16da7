// What is measured of the current run, as families of metrics.
import type { Member, Shard } from '../../protocol/control.ts'
import { type Family, histogram, type Sample } from './exposition.ts'
import type { Plane } from './plane.ts'

const STALENESS_BOUNDS = [0, 1, 2, 4, 8, 16, 32]

export async function metricsOf(plane: Plane): Promise<readonly Family[]> {
  const { current: book, log } = plane
  const own: Family[] = [
    gauge('troupe_runs', 'Runs that the control plane remembers', [{ value: plane.runs.length }]),
    counter('troupe_events_total', 'Events since the start', [{ value: log.total }]),
    gauge('troupe_event_readers', 'Open event streams', [{ value: log.readers }]),
  ]
  if (!book) return own
  const shards = await book.shards.read()
  const run = book.show()
  const labels = { run: run.id }
  const figure = (value: number | undefined): Sample[] =>
    value === undefined ? [] : [{ labels, value }]
  const isActive = book.isOver ? 0 : 1
  return [
    ...own,
    gauge('troupe_run_active', 'Whether the run is under way', figure(isActive)),
    gauge('troupe_run_loss', 'Smoothed training loss', figure(run.loss)),
    gauge('troupe_run_learning_rate', 'Learning rate of the next update', figure(run.learningRate)),
    gauge(
      'troupe_run_examples_per_second',
      'Frames, images or rows trained on',
      figure(run.examplesPerSecond),
    ),
    gauge('troupe_run_phase_done', 'Updates of the phase that are done', figure(run.done)),
    gauge('troupe_run_phase_total', 'Updates of the phase', figure(run.total)),
    gauge('troupe_run_error_percent', 'Of the last evaluation', figure(run.errorPercent)),
    gauge('troupe_run_accuracy_percent', 'Of the last evaluation', figure(run.accuracyPercent)),
    counter('troupe_deaths_total', 'Processes of the run that died', figure(run.deaths)),
    ...shardFamilies(shards),
    ...memberFamilies(book.observed.members),
  ]
}

function shardFamilies(shards: readonly Shard[]): Family[] {
  const each = (value: (shard: Shard) => number): Sample[] =>
    shards.map((shard) => ({ labels: { run: shard.run, shard: shard.id }, value: value(shard) }))
  const verdicts = shards.flatMap(({ run, id: shard, updates }) =>
    Object.entries(updates).map(([verdict, value]) => ({
      labels: { run, shard, verdict },
      value,
    })),
  )
  const staleness = shards.flatMap((shard) =>
    histogram(shard.staleness, { run: shard.run, shard: shard.id }, STALENESS_BOUNDS),
  )
  return [
    gauge(
      'troupe_shard_version',
      'Updates applied to the parameters',
      each(({ version }) => version),
    ),
    gauge(
      'troupe_shard_parameters',
      'Parameters of the range',
      each(({ length }) => length),
    ),
    gauge(
      'troupe_shard_journal_bytes',
      'Journal since the snapshot',
      each(({ journalBytes }) => journalBytes),
    ),
    counter('troupe_shard_pushes_total', 'Pushes by what became of them', verdicts),
    {
      name: 'troupe_shard_staleness',
      help: 'Staleness of applied gradients, in updates',
      type: 'histogram',
      samples: staleness,
    },
  ]
}

function memberFamilies(members: readonly Member[]): Family[] {
  const each = (value: (member: Member) => number | undefined): Sample[] =>
    members.flatMap((member) => {
      const known = value(member)
      return known === undefined ? [] : [{ labels: { member: member.name }, value: known }]
    })
  const links = members.flatMap(({ name, links: own }) =>
    own.map(({ to, sentBytes, queueBytes }) => ({ from: name, to, sentBytes, queueBytes })),
  )
  const linked = (value: (link: (typeof links)[number]) => number): Sample[] =>
    links.map((link) => ({ labels: { from: link.from, to: link.to }, value: value(link) }))
  return [
    gauge(
      'troupe_member_up',
      'Whether the member answers',
      each(({ isStale }) => (isStale ? 0 : 1)),
    ),
    gauge(
      'troupe_member_actors',
      'Actors of the member',
      each(({ actors }) => actors),
    ),
    gauge(
      'troupe_member_mailbox_messages',
      'Messages that wait',
      each(({ mailboxMessages }) => mailboxMessages),
    ),
    gauge(
      'troupe_member_resident_memory_bytes',
      'Resident memory of the process',
      each(({ memoryBytes }) => memoryBytes),
    ),
    counter(
      'troupe_member_turns_total',
      'Messages handled since the start of the process',
      each(({ turns }) => turns),
    ),
    counter(
      'troupe_link_sent_bytes_total',
      'Bytes sent over a link',
      linked(({ sentBytes }) => sentBytes),
    ),
    gauge(
      'troupe_link_queue_bytes',
      'Bytes that wait to be sent',
      linked(({ queueBytes }) => queueBytes),
    ),
  ]
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, help, type: 'gauge', samples }
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, help, type: 'counter', samples }
}
