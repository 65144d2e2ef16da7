// The bodies of the HTTP API, declared once: routes validate by them, the OpenAPI document is made of them,
// and clients have their types from them. The only importer of zod.
import * as z from 'zod'

/** Milliseconds since 1970. */
const wallTime = z.number().meta({ description: 'milliseconds since 1970' })
const count = z.int().min(0)

export const Problem = z
  .object({
    type: z
      .string()
      .meta({ description: 'stable: /problems/NAME', examples: ['/problems/unknown-run'] }),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
  })
  .meta({ id: 'Problem', description: 'what went wrong (RFC 9457)' })
export type Problem = z.infer<typeof Problem>

export const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' })
export const Readiness = z
  .object({ status: z.enum(['ready', 'not-ready']), reason: z.string().optional() })
  .meta({ id: 'Readiness' })
export type Readiness = z.infer<typeof Readiness>

/** What a verb answers: it is done, or under way. */
export const Done = z.object({ done: z.string() }).meta({ id: 'Done' })
export type Done = z.infer<typeof Done>

export const Actor = z
  .object({
    path: z.string().meta({ description: 'MEMBER/NAME/..., as POST /actors/{path}/kill takes it' }),
    member: z.string(),
    kind: z.string(),
    incarnation: z.number(),
    mailboxMessages: count,
    restarts: count,
    restart: z.enum(['permanent', 'transient', 'temporary']),
    lastCrash: z.string().optional(),
    version: count.optional().meta({ description: 'of the parameters that a shard has' }),
    isStale: z.boolean().meta({ description: 'its member has not answered lately' }),
  })
  .meta({ id: 'Actor' })
export type Actor = z.infer<typeof Actor>

export const Actors = z
  .object({
    at: wallTime,
    total: count,
    actors: z.array(Actor),
    next: z.string().optional().meta({ description: 'give it as `after` for the rest' }),
  })
  .meta({ id: 'Actors' })
export type Actors = z.infer<typeof Actors>

export const ActorsQuery = z.object({
  under: z.string().min(1).optional(),
  after: z.string().min(1).optional(),
  limit: z.coerce.number().int().min(1).max(20_000).default(1_000),
})

export const Link = z
  .object({
    to: z.string(),
    isConnected: z.boolean(),
    queueBytes: count,
    sentBytes: count,
    receivedBytes: count,
    sentBytesPerSecond: z.number(),
    receivedBytesPerSecond: z.number(),
  })
  .meta({ id: 'Link' })
export type Link = z.infer<typeof Link>

export const Role = z.enum(['control', 'trainer', 'shard', 'lattices', 'subnetwork', 'other'])
export type Role = z.infer<typeof Role>

export const Member = z
  .object({
    name: z.string(),
    role: Role,
    incarnation: z.number(),
    isStale: z.boolean(),
    seenAt: wallTime,
    processId: z.int().optional(),
    memoryBytes: count.optional(),
    device: z.string().optional(),
    actors: count,
    mailboxMessages: count,
    turns: count.meta({ description: 'messages handled since its start' }),
    links: z.array(Link),
  })
  .meta({ id: 'Member' })
export type Member = z.infer<typeof Member>
export const Members = z.object({ at: wallTime, members: z.array(Member) }).meta({ id: 'Members' })
export type Members = z.infer<typeof Members>

export const Worker = z
  .object({
    id: z.string(),
    run: z.string(),
    role: Role,
    state: z.enum(['starting', 'ready', 'waiting', 'stopping', 'stopped']),
    incarnation: z.number(),
    processId: z.int().optional(),
    device: z.string().optional(),
    isRemovable: z.boolean(),
  })
  .meta({ id: 'Worker' })
export type Worker = z.infer<typeof Worker>
export const Workers = z.object({ workers: z.array(Worker) }).meta({ id: 'Workers' })

export const Shard = z
  .object({
    id: z.string(),
    run: z.string(),
    offset: count.meta({ description: 'of its range, in parameters' }),
    length: count,
    phase: count,
    version: count,
    learningRate: z.number(),
    policy: z.string(),
    optimizer: z.string(),
    updates: z.object({ applied: count, duplicates: count, refused: count }),
    staleness: z
      .array(count)
      .meta({ description: 'updates by staleness: index = staleness, the last holds all above' }),
    journalBytes: count,
    recoveredMs: z.number(),
  })
  .meta({ id: 'Shard' })
export type Shard = z.infer<typeof Shard>
export const Shards = z.object({ shards: z.array(Shard) }).meta({ id: 'Shards' })

export const TaskName = z.enum(['speech', 'image', 'model'])
export const RunState = z.enum([
  'preparing',
  'training',
  'paused',
  'evaluating',
  'draining',
  'stopping',
  'finished',
  'stopped',
  'failed',
])
export type RunState = z.infer<typeof RunState>

export const Run = z
  .object({
    id: z.string(),
    task: TaskName,
    state: RunState,
    startedAt: wallTime,
    endedAt: wallTime.optional(),
    out: z.string().meta({ description: 'folder of the run' }),
    policy: z.string(),
    seed: count,
    phase: z.string().optional(),
    done: count.optional().meta({ description: 'updates, utterances, ... of the phase' }),
    total: count.optional(),
    unit: z.string().optional(),
    loss: z.number().optional(),
    learningRate: z.number().optional(),
    examples: z
      .string()
      .optional()
      .meta({ description: 'what an example is: frames, images, rows' }),
    examplesPerSecond: z.number().optional(),
    remainingSeconds: z.number().optional(),
    deaths: count,
    /** Of the last evaluation, in percent. */
    errorPercent: z.number().optional(),
    accuracyPercent: z.number().optional(),
    failure: z.string().optional(),
    options: z.record(z.string(), z.unknown()),
    report: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: 'Run' })
export type Run = z.infer<typeof Run>
export const Runs = z.object({ runs: z.array(Run) }).meta({ id: 'Runs' })

export const NewRun = z
  .strictObject({
    task: TaskName,
    options: z
      .record(z.string(), z.unknown())
      .default({})
      .meta({ description: 'as those of `launch` and of the command line, in camel case' }),
  })
  .meta({ id: 'NewRun' })

export const Adjustment = z
  .strictObject({
    learningRate: z.number().positive().max(1_000).optional(),
    policy: z.string().min(1).max(200).optional(),
  })
  .refine(({ learningRate, policy }) => learningRate !== undefined || policy !== undefined, {
    message: 'give learningRate, policy or both',
  })
  .meta({ id: 'Adjustment' })
export type Adjustment = z.infer<typeof Adjustment>

/** Columns: `null` where nothing was known then. */
export const History = z
  .object({
    run: z.string(),
    seconds: z.array(z.number()).meta({ description: 'since the start of this life of the run' }),
    loss: z.array(z.number().nullable()),
    examplesPerSecond: z.array(z.number().nullable()),
    learningRate: z.array(z.number().nullable()),
    phases: z.array(z.object({ seconds: z.number(), phase: z.string() })),
    evaluations: z.array(
      z.object({
        seconds: z.number(),
        model: z.string(),
        set: z.string(),
        errorPercent: z.number().optional(),
        accuracyPercent: z.number().optional(),
      }),
    ),
    deaths: z.array(
      z.object({ seconds: z.number(), actor: z.string(), recoveredMs: z.number().optional() }),
    ),
  })
  .meta({ id: 'History' })
export type History = z.infer<typeof History>

export const Event = z
  .looseObject({
    id: count,
    at: wallTime,
    type: z.string(),
    run: z.string().optional(),
    member: z.string().optional(),
  })
  .meta({ id: 'Event', description: 'what happened; the rest depends on `type`' })
export type Event = z.infer<typeof Event>

export const EventsQuery = z.object({
  after: z.coerce.number().int().min(0).optional(),
  types: z.string().min(1).optional().meta({ description: 'with commas between' }),
})

export const RecentQuery = z.object({
  after: z.coerce.number().int().min(0).default(0),
  types: z.string().min(1).optional().meta({ description: 'with commas between' }),
  limit: z.coerce.number().int().min(1).max(5_000).default(100),
})

export const LogsQuery = z.object({
  member: z.string().min(1).optional(),
  level: z.string().min(1).optional(),
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(5_000).default(200),
})

export const Events = z.object({ events: z.array(Event) }).meta({ id: 'Events' })

export const LogLine = z
  .object({
    id: count,
    at: wallTime,
    member: z.string(),
    path: z.string(),
    level: z.string(),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'LogLine' })
export const Logs = z.object({ lines: z.array(LogLine) }).meta({ id: 'Logs' })
export type LogLine = z.infer<typeof LogLine>

export const Model = z
  .object({
    name: z.string(),
    run: z.string().optional(),
    task: z.string(),
    files: z.array(
      z.object({ kind: z.enum(['onnx', 'safetensors']), url: z.string(), bytes: count }),
    ),
    canPredict: z.boolean(),
  })
  .meta({ id: 'Model' })
export type Model = z.infer<typeof Model>
export const Models = z.object({ models: z.array(Model) }).meta({ id: 'Models' })

const Scored = z.object({ label: z.string(), probability: z.number() })
export const Predictions = z
  .object({
    model: z.string(),
    predictions: z.array(
      z.object({
        name: z.string(),
        predictions: z.array(Scored).optional().meta({ description: 'of an image' }),
        words: z
          .array(
            z.object({
              word: z.string(),
              from: z.number(),
              to: z.number(),
              confidence: z.number().optional(),
            }),
          )
          .optional()
          .meta({ description: 'of a recording; seconds' }),
        error: z.string().optional(),
      }),
    ),
  })
  .meta({ id: 'Predictions' })
export type Predictions = z.infer<typeof Predictions>

export const Fault = z
  .strictObject({
    target: z.string().min(1).max(200).meta({ description: 'a member: trainer-0, shard-1, ...' }),
    fault: z.enum(['kill', 'stop', 'hang', 'fault', 'delay', 'partition']),
    peer: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .meta({ description: 'delay, partition: only to this member' }),
    ms: z.int().min(1).max(60_000).default(100).meta({ description: 'of a delay' }),
    durationMs: z.int().min(1).max(600_000).default(5_000),
  })
  .meta({ id: 'Fault' })
export type Fault = z.infer<typeof Fault>

// What a person looks at in a run.

const words = z.array(z.string())

export const Utterances = z
  .object({
    model: z.string().optional().meta({ description: 'what the hypotheses are of' }),
    utterances: z.array(
      z.object({
        id: z.string(),
        set: z.string(),
        reference: words,
        hypothesis: words.optional(),
        errors: count.optional(),
      }),
    ),
  })
  .meta({ id: 'Utterances' })
export type Utterances = z.infer<typeof Utterances>

/** `from` and `to` of words and labels in seconds. */
export const Lattice = z
  .object({
    id: z.string(),
    frames: count,
    frameMs: z.number(),
    reference: words,
    hypothesis: words,
    words: z.array(
      z.object({ word: z.string(), from: z.number(), to: z.number(), posterior: z.number() }),
    ),
    alignment: z.array(z.object({ label: z.string(), from: z.number(), to: z.number() })),
    states: z.array(z.object({ time: z.number() })),
    arcs: z.array(
      z.object({
        from: count,
        to: count,
        word: z.string(),
        posterior: z.number(),
        score: z.number(),
      }),
    ),
  })
  .meta({ id: 'Lattice' })
export type Lattice = z.infer<typeof Lattice>

export const Confusion = z
  .object({
    model: z.string(),
    classes: z.array(z.string()),
    counts: z
      .array(z.array(count))
      .optional()
      .meta({ description: 'row = label, column = prediction; absent above 100 classes' }),
    pairs: z
      .array(z.object({ label: z.string(), prediction: z.string(), count }))
      .meta({ description: 'those most often confused' }),
  })
  .meta({ id: 'Confusion' })
export type Confusion = z.infer<typeof Confusion>

export const Samples = z
  .object({
    model: z.string(),
    samples: z.array(z.object({ index: count, label: z.string(), predictions: z.array(Scored) })),
  })
  .meta({ id: 'Samples' })
export type Samples = z.infer<typeof Samples>

export const Timeline = z
  .object({
    seconds: z.number().meta({ description: 'length of the common axis' }),
    stages: z.array(
      z.object({
        replica: count,
        stage: count,
        member: z.string(),
        idleShare: z.number().meta({ description: 'of the bubble, 0 to 1' }),
        spans: z.array(
          z.object({
            kind: z.enum(['forward', 'backward', 'both', 'push', 'wait']),
            minibatch: count.nullable(),
            from: z.number().meta({ description: 'seconds' }),
            to: z.number(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'Timeline' })
export type Timeline = z.infer<typeof Timeline>
