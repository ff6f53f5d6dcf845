// What every play has: a browser, hosts of this machine that it visits, and a way to say what it came upon.
//
// Arguments: the browser's program. A play says at which ports its hosts are, is told on stdin under which URL Envoy
// is reached, and says what the browser has come upon; each on one line of JSON.
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { chromium } from 'playwright-core';

export const page = (title, body) => `<!doctype html><title>${title}</title><h1>${title}</h1>${body}`;

// A host whose pages are what `answer` makes of a request.
export const serve = (answer) => new Promise((resolve) => {
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(answer(request, response));
  });
  server.listen(0, '127.0.0.1', () => resolve(server));
});

export const port = (server) => server.address().port;

export const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
export const told = async () => (await lines.next()).value;

// Has `act` visit the hosts with a browser of its own, and says what it returns.
export const play = async (act) => {
  const profile = mkdtempSync(path.join(tmpdir(), 'browser-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.argv[2],
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    headless: true,
    timeout: 60_000,
  });
  const tab = await browser.newPage();
  tab.setDefaultTimeout(60_000);
  const found = await act(browser, tab);
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
  say(found);
  process.exit(0);
};
