// A browser with the two sites that it visits: a shop behind Envoy, whose upstream this is, and a stranger's.
//
// Argument: the browser's program. Says `{"upstream": port, "stranger": port}`, is told on stdin under which
// URL the shop is reached, and says what the browser has come upon. Everything on one line of JSON.
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { chromium } from 'playwright-core';

let shop;
const seen = [];

const page = (title, body) => `<!doctype html><title>${title}</title><h1>${title}</h1>${body}`;

const entrance = page('entrance', `
<form id="login"><input name="username"><input name="password" type="password"><button>log in</button></form>
<script>
  login.onsubmit = async (event) => {
    event.preventDefault();
    const body = JSON.stringify(Object.fromEntries(new FormData(login)));
    const answer = await fetch('/auth/shop/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    location = answer.ok ? '/shop' : '/entrance?' + answer.status;
  };
</script>`);

const counter = (who) => page(who, `
<button id="leave">log out</button>
<script>
  leave.onclick = async () => {
    const answer = await fetch('/auth/shop/logout', { method: 'POST' });
    location = '/entrance?' + answer.status;
  };
</script>`);

const serve = (answer) => new Promise((resolve) => {
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(answer(request));
  });
  server.listen(0, '127.0.0.1', () => resolve(server));
});

const upstream = await serve((request) => {
  const { pathname } = new URL(request.url, 'http://shop');
  if (pathname === '/entrance') return entrance;
  if (pathname === '/favicon.ico') return '';
  seen.push({ method: request.method, path: pathname, cookie: request.headers.cookie ?? null });
  return counter(request.headers['x-consumer-username'] ?? 'nobody');
});

// Same site, for a port makes none: the browser sends the session along.
const stranger = await serve(() => page('stranger', `<form id="trap" method="post" action="${shop}/shop"></form>`));

const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');
say({ upstream: upstream.address().port, stranger: stranger.address().port });
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
shop = (await lines.next()).value;

const profile = mkdtempSync(path.join(tmpdir(), 'browser-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.argv[2],
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  headless: true,
  timeout: 60_000,
});
const tab = await browser.newPage();
tab.setDefaultTimeout(60_000);
const found = {};
const status = async (url) => (await tab.goto(url)).status();
const title = () => tab.locator('h1').innerText();

found.before = await status(`${shop}/shop`);

await tab.goto(`${shop}/entrance`);
await tab.fill('[name=username]', 'alice');
await tab.fill('[name=password]', 'four words of her own');
await tab.click('button');
await tab.waitForURL('**/shop');
found.who = await title();
found.cookies = await browser.cookies();
found.script = await tab.evaluate(() => document.cookie);
found.other = await status(`${shop}/files`);
await tab.goto(`${shop}/shop`);
found.own = await tab.evaluate(async () => (await fetch('/shop', { method: 'POST' })).status);

// A stranger's page has the browser send a form, and what scripts can send without being allowed to.
await tab.goto(`http://localhost:${stranger.address().port}/`);
await tab.evaluate(async (shop) => {
  const own = { credentials: 'include', mode: 'no-cors', method: 'POST' };
  const body = new URLSearchParams({ username: 'alice', password: 'four words of her own' });
  await Promise.all([
    fetch(`${shop}/shop`, own),
    fetch(`${shop}/auth/shop/logout`, own),
    fetch(`${shop}/auth/shop/login`, { ...own, body }),
  ]);
}, shop);
const [answer] = await Promise.all([
  tab.waitForResponse((response) => response.url() === `${shop}/shop`),
  tab.evaluate(() => document.getElementById('trap').submit()),
]);
found.foreign = { status: answer.status(), code: (await answer.json()).code };
found.still = await status(`${shop}/shop`);
found.same = JSON.stringify(await browser.cookies()) === JSON.stringify(found.cookies);

await tab.click('#leave');
await tab.waitForURL('**/entrance?*');
found.left = new URL(tab.url()).search;
found.after = await status(`${shop}/shop`);
found.cookies_after = await browser.cookies();
found.posts = seen.filter((request) => request.method === 'POST').length;
found.upstream_saw = [...new Set(seen.map((request) => request.cookie))];

await browser.close();
rmSync(profile, { recursive: true, force: true });
say(found);
process.exit(0);
