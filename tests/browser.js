// Walks through one of the apps of tests/apps/ as somebody with a browser does:
//
//	node tests/browser.js CHROMIUM APP FORM URL FOLDER
//
// FORM is "path" or "host"; FOLDER has the app's files, which some walks edit.
// Prints one line of JSON: {"step": the last one begun, "error": what was wrong
// with it or null, "heard": what the browser had to complain of}.
const fs = require('node:fs')
const path = require('node:path')
const crypto = require('node:crypto')
const { chromium } = require('playwright-core')

const [program, app, form, url, folder] = process.argv.slice(2)
const STEP = Number(process.env.STEP_SECONDS) * 1000	// the time for one, in ms
const heard = []
const pending = new Set()	// requests, and WebSockets that have received nothing
let at = 'start Chromium'

function step(name) {
  at = name
}

function equal(got, want) {
  if (got !== want)
    throw new Error(`got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
}

function listen(page) {
  page.said = []
  page.on('console', (m) => {
    page.said.push(m.text())
    if (m.type() === 'error' && !m.text().startsWith('Failed to load resource'))
      heard.push(`console: ${m.text()}`)
  })
  page.on('pageerror', (error) => heard.push(`exception: ${error.message}`))
  page.on('request', (r) => pending.add(r))
  page.on('requestfinished', (r) => pending.delete(r))
  page.on('requestfailed', (r) => {
    pending.delete(r)
    heard.push(`failed: ${r.method()} ${r.url()}: ${r.failure().errorText}`)
  })
  page.on('response', (r) => r.status() >= 400 && heard.push(`${r.status()}: ${r.request().method()} ${r.url()}`))
  page.on('websocket', (ws) => {
    pending.add(ws)
    ws.on('framereceived', () => pending.delete(ws))
    ws.on('socketerror', (error) => {
      pending.delete(ws)
      heard.push(`WebSocket ${ws.url()}: ${error}`)
    })
  })
}

// What a page's script says on the console.
async function says(page, text) {
  if (page.said.some((line) => line.includes(text)))
    return
  await page.waitForEvent('console', (m) => m.text().includes(text)).catch(() => {
    throw new Error(`the console does not say ${JSON.stringify(text)}`)
  })
}

// Text that the page shows, as a whole line of its own.
async function shows(page, text) {
  await page.getByText(text, { exact: true }).first().waitFor()
}

async function styled(page) {
  await page.waitForFunction(() => getComputedStyle(document.querySelector('h1')).color === 'rgb(1, 2, 3)')
}

// An edit of a file of the app shows in the page, which is not loaded again.  It
// keeps the length of the file, which so is never seen half written.
async function hot(page, file) {
  const name = path.join(folder, file)
  await page.evaluate(() => { window.sameDocument = true })
  const text = fs.readFileSync(name, 'utf8')
  fs.writeFileSync(name, text.replace('first text', 'other text'), { flag: 'r+' })
  await shows(page, 'other text')
  if (!await page.evaluate(() => window.sameDocument))
    throw new Error('the page was loaded again')
}

async function vite(page) {
  step('load the page')
  await page.goto(url)
  await shows(page, 'first text')
  step('its style sheet')
  await styled(page)
  step('its image')
  await page.waitForFunction(() => document.querySelector('img').naturalWidth > 0)
  step('the WebSocket of HMR')
  await says(page, '[vite] connected')
  step('press its button')
  await page.getByRole('button').click()
  await shows(page, 'count is 1')
  step('edit src/App.jsx: the page changes without a reload (HMR)')
  await hot(page, 'src/App.jsx')
  step('what the button counted is still there (React Fast Refresh)')
  await shows(page, 'count is 1')
}

async function next(page) {
  step('load the page')
  await page.goto(url)
  await shows(page, 'first text')
  step('its style sheet')
  await styled(page)
  step('send the form to a server action')
  await page.getByLabel('name').fill('ada')
  await page.getByRole('button', { name: 'greet' }).click()
  await page.getByText(/^hello ada from v\d+/).waitFor()
  step('the WebSocket of HMR')
  await says(page, '[HMR] connected')
  step('edit app/page.jsx: the page changes without a reload (HMR)')
  await hot(page, 'app/page.jsx')
  step('follow a Link to another page')
  await page.getByRole('link', { name: 'other' }).click()
  await shows(page, 'the other page')
}

async function flask(page, context) {
  step('load the page: a redirect to /login')
  await page.goto(url)
  await shows(page, 'who are you')
  step('send the form to /login')
  await page.getByLabel('name').fill('ada')
  await page.getByRole('button').click()
  step('the redirect to / leads to the page of who is logged in')
  await shows(page, 'welcome ada')
  step('a new tab is logged in too (session cookie)')
  const tab = await context.newPage()
  await tab.goto(url)
  await shows(tab, 'welcome ada')
  step('log out by the form to /logout')
  await page.getByRole('button').click()
  await shows(page, 'who are you')
}

async function upload(page) {
  const buffer = Buffer.alloc(300000, 'pipegate')
  const hash = crypto.createHash('sha256').update(buffer).digest('hex')
  await page.getByLabel('file').setInputFiles({ name: 'a.bin', mimeType: 'application/octet-stream', buffer })
  await page.getByRole('button', { name: 'upload' }).click()
  await shows(page, `a.bin ${hash}`)
}

// At a host of its own a worker is the app's.  By path all ids are one origin: a
// worker at /sw.js would be that of all of them, so it must not come to be.
async function serviceWorker(page) {
  const said = await page.evaluate(() => navigator.serviceWorker.register('/sw.js').then(() => 'registered', String))
  if ((said === 'registered') !== (form === 'host'))
    throw new Error(said)
  if (form === 'path')
    return
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null)
  equal(await page.evaluate(() => fetch('/from-worker').then((answer) => answer.text())), 'the worker says so')
}

async function express(page) {
  step('load the page')
  await page.goto(url)
  await shows(page, 'home')
  step('its style sheet, /style.css')
  await styled(page)
  step("fetch('/api/time') of its script, /app.js")
  await shows(page, 'asked now')
  step('follow the link /old, which redirects to /new')
  await page.getByRole('link', { name: 'old' }).click()
  await shows(page, 'the new page')
  step('follow the link / of that page')
  await page.getByRole('link', { name: 'home' }).click()
  await shows(page, 'asked now')
  step('send a form to /note')
  await page.getByLabel('note').fill('x'.repeat(2000))
  await page.getByRole('button', { name: 'note' }).click()
  await shows(page, 'noted 2000')
  step('upload a file to /upload')
  await page.goto(url)
  await upload(page)
  step(`register /sw.js${form === 'path' ? ', which must be refused by path' : ''}`)
  await page.goto(url)
  await serviceWorker(page)
}

// Does what a page may not heed yet, and again, until what comes of it is seen.
async function insist(act, seen) {
  for (const end = Date.now() + STEP; Date.now() < end;) {
    await act()
    if (await seen.first().waitFor({ timeout: STEP / 12 }).then(() => true, () => false))
      return
  }
  throw new Error('in vain')
}

async function jupyter(page, context) {
  step('load the page')
  await page.goto(url)
  step('open first.ipynb')
  await page.getByText('first.ipynb').waitFor()
  const [notebook] = await Promise.all([context.waitForEvent('page'), page.getByText('first.ipynb').dblclick()])
  listen(notebook)
  step('its kernel starts (POST) and is connected (WebSocket)')
  await notebook.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').waitFor()
  step('run a cell')
  await insist(async () => {
    await notebook.keyboard.press('Escape')	// the dialog that a press too early brings
    await notebook.locator('.jp-Cell .cm-content').first().click()
    await notebook.locator('[data-command="notebook:run-cell-and-select-next"]').click()
  }, notebook.locator('.jp-OutputArea-output').getByText('42', { exact: true }))
  step('save the notebook (PUT)')
  await Promise.all([notebook.waitForResponse((a) => a.request().method() === 'PUT' && a.ok()),
    notebook.locator('[data-command="docmanager:save"]').click()])
  equal(fs.readFileSync(path.join(folder, 'first.ipynb'), 'utf8').includes('"42\\n"'), true)
}

async function streamlit(page) {
  step('load the page (WebSocket)')
  await page.goto(url)
  await shows(page, 'pressed 0 times')
  step('press the button: the text changes')
  await page.getByRole('button', { name: 'more' }).click()
  await shows(page, 'pressed 1 times')
}

// The browser is elsewhere: it reaches the server and nothing else, under any name.
function flags() {
  const { port, origin } = new URL(url)
  const sandbox = process.getuid() === 0 ? ['--no-sandbox'] : []
  return [...sandbox, `--host-resolver-rules=MAP *:${port} 127.0.0.1:${port}, MAP * ~NOTFOUND`,
    `--unsafely-treat-insecure-origin-as-secure=${origin}`]
}

async function main() {
  const browser = await chromium.launch({ executablePath: program, args: flags(), timeout: STEP })
  const context = await browser.newContext()
  context.setDefaultTimeout(STEP)
  const page = await context.newPage()
  listen(page)
  await { vite, next, flask, express, jupyter, streamlit }[app](page, context)
  await browser.close()
}

function report(error) {
  for (const waiting of pending)
    heard.push(`nothing came: ${waiting.url()}`)
  fs.writeSync(1, JSON.stringify({ step: at, error, heard: [...new Set(heard)].slice(0, 20) }) + '\n')
  process.exit(0)
}

setTimeout(report, 4 * STEP, `all of it took more than ${4 * STEP / 1000} s`)
main().then(() => report(null), (error) => report(error.message))
