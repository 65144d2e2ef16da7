// The dashboard in a real browser, over a real cluster: begun, watched, killed, adjusted, downloaded, asked.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { type ControlPlane, startControl } from '../../actors/control/serve.ts'
import { launch, speech, type SpeechOptions } from '../../actors/index.ts'
import { realEnvironment } from '../../runtime/index.ts'
import { fakeRun, memberWith } from '../actors/control/fake-run.ts'
import { makeTinyDigits } from '../tiny-digits.ts'

const executablePath = Bun.which('chromium') ?? Bun.which('chromium-browser') ?? undefined
const folder = mkdtempSync(join(tmpdir(), 'troupe-page-'))
const environment = realEnvironment({ seed: 0 })
let browser: Browser
let control: ControlPlane

const small: Omit<SpeechOptions, 'out'> = {
  data: `${folder}/digits`,
  strings: [60, 20, 20],
  crossEntropyEpochs: 1,
  epochs: 1,
  hidden: [16],
  snr: 10,
  batchUtterances: 4,
}

describe.skipIf(!executablePath)('the dashboard', () => {
  beforeAll(async () => {
    process.env.TROUPE_HOME = `${folder}/home`
    makeTinyDigits(`${folder}/digits`)
    browser = await chromium.launch({
      ...(executablePath && { executablePath }),
      args: ['--no-sandbox'],
    })
    control = startControl(environment, {
      port: 0,
      start: async (_task, options) => await launch({ task: speech(options as SpeechOptions) }),
    })
  }, 30_000)
  afterAll(async () => {
    await control.plane.current?.run.stop()
    await browser.close()
    await control.stop()
    delete process.env.TROUPE_HOME
    rmSync(folder, { recursive: true, force: true })
  })

  async function open(url = control.pageUrl): Promise<{ page: Page; complaints: string[] }> {
    const page = await browser.newPage({ viewport: { width: 1200, height: 1600 } })
    const complaints: string[] = []
    page.on('pageerror', ({ message }) => complaints.push(message))
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    await page.goto(url)
    return { page, complaints }
  }

  test('a run is begun in it, watched, and its model is downloaded and asked', async () => {
    const { page, complaints } = await open()
    await page.getByTestId('new-run').click()
    await page.getByLabel('Data (folder)').fill(small.data)
    const { data: _, ...rest } = { ...small, out: `${folder}/first` }
    await page.getByLabel('Other options, as JSON').fill(JSON.stringify(rest))
    await page.getByTestId('confirm').click()
    await page.getByTestId('run-state').filter({ hasText: 'finished' }).waitFor({ timeout: 30_000 })

    const downloading = page.waitForEvent('download')
    await page.getByTestId('download-onnx').click()
    const path = await (await downloading).path()
    expect(readFileSync(path)).toEqual(readFileSync(`${folder}/first/model.onnx`))

    await page.getByTestId('predict-file').setInputFiles(`${folder}/digits/${firstRecording()}`)
    const result = page.getByTestId('predict-result').locator('p')
    await result.waitFor()
    expect(await result.textContent()).toMatch(/^[a-z ]+$/)
    expect(complaints).toEqual([])
    await page.close()
  }, 60_000)

  test('a kill and the recovery are seen; the learning rate is changed; the run is stopped', async () => {
    const run = await launch({
      task: speech({ ...small, crossEntropyEpochs: 400, out: `${folder}/second` }),
    })
    control.plane.add(run)
    const { page, complaints } = await open()
    await page.locator('[data-path="trainer-1"]').waitFor({ timeout: 30_000 })
    await page.locator('[data-path="trainer-1"] [data-testid=steer]').click()
    await page.getByTestId('steer-how').selectOption('kill')
    await page.getByTestId('confirm').click()
    const events = page.getByTestId('event-log')
    await events.getByText(/trainer-1 died: killed by SIGKILL/).waitFor({ timeout: 10_000 })
    await events.getByText(/trainer-1 is back after/).waitFor({ timeout: 20_000 })

    await page.getByTestId('adjust').click()
    await page.getByTestId('adjust-rate').fill('0.000125')
    await page.getByTestId('confirm').click()
    await page
      .getByTestId('learning-rate')
      .filter({ hasText: '1.3e-4' })
      .waitFor({ timeout: 10_000 })
    const [shard] = await run.shards()
    expect(shard!.learningRate).toBeCloseTo(0.000125, 9)

    await page.getByTestId('stop').click()
    await page.getByTestId('confirm').click()
    await page.getByTestId('run-state').filter({ hasText: 'stopped' }).waitFor({ timeout: 20_000 })
    expect(complaints).toEqual([])
    await page.close()
  }, 90_000)

  test('it can be read on a phone, in the dark, and without a mouse', async () => {
    const page = await browser.newPage({
      viewport: { width: 390, height: 844 },
      colorScheme: 'dark',
    })
    await page.goto(control.pageUrl)
    await page.getByRole('heading', { name: 'The troupe' }).waitFor()
    const width = await page.evaluate('document.documentElement.scrollWidth')
    expect(width).toBeLessThanOrEqual(390)
    const unnamed = await page.evaluate(`
      [...document.querySelectorAll('button, input, select')]
        .filter((each) => !(each.textContent?.trim() || each.getAttribute('aria-label')))
        .map((each) => each.outerHTML)`)
    expect(unnamed).toEqual([])
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement?.textContent')).toBe('Skip to the run')
    await page.close()
  }, 30_000)

  test('the client of scripts works in a page too', async () => {
    const { page } = await open()
    const ids = await page.evaluate<string[]>(`import('/client.js').then(
      async ({ answerOf, client }) =>
        (await answerOf(client(location.origin).runs.$get())).runs.map(({ id }) => id),
    )`)
    expect(ids).toEqual(control.plane.runs.map(({ id }) => id))
    await page.close()
  }, 20_000)

  test('ten thousand actors are there at once, and a hundred rows of them in the document', async () => {
    const crowd = startControl(environment, { port: 0 })
    const book = crowd.plane.add(fakeRun().run)
    book.observed.take([memberWith(10_000)])
    const { page, complaints } = await open(crowd.pageUrl)
    await page.getByText('1 members, 10000 actors').waitFor({ timeout: 10_000 })
    expect(await page.getByRole('treeitem').count()).toBeLessThan(100)
    await page.getByLabel('Filter actors').fill('actor-9999')
    await page.locator('[data-path="control/actor-9999"]').waitFor()
    expect(await page.getByRole('treeitem').count()).toBe(1)
    expect(complaints).toEqual([])
    await page.close()
    await crowd.stop()
  }, 30_000)
})

function firstRecording(): string {
  return [...new Bun.Glob('*.wav').scanSync(`${folder}/digits`)].sort()[0]!
}
