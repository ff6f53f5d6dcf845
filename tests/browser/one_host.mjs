// A shop behind Envoy, whose upstream this is, its login page on the same host, and a stranger's page.
import { page, play, port, say, serve, told } from './stage.mjs';

let shop;
const seen = [];

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
<form method="post" action="/shop"><button id="buy">buy</button></form>
<button id="leave">log out</button>
<script>
  leave.onclick = async () => {
    const answer = await fetch('/auth/shop/logout', { method: 'POST' });
    location = '/entrance?' + answer.status;
  };
</script>`);

const upstream = await serve((request, response) => {
  // As many a framework has it. A form of such a page is sent with `Origin: null`.
  response.setHeader('referrer-policy', 'no-referrer');
  const { pathname } = new URL(request.url, 'http://shop');
  if (pathname === '/entrance') return entrance;
  if (pathname === '/favicon.ico') return '';
  seen.push({ method: request.method, path: pathname, cookie: request.headers.cookie ?? null });
  return counter(request.headers['x-consumer-username'] ?? 'nobody');
});

// Same site, for a port makes none: the browser sends the session along.
const stranger = await serve((request, response) => {
  response.setHeader('referrer-policy', 'no-referrer');
  return page('stranger', `<form id="trap" method="post" action="${shop}/shop"></form>`);
});

say({ upstream: port(upstream), stranger: port(stranger) });
shop = await told();

await play(async (browser, tab) => {
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

  const [bought] = await Promise.all([
    tab.waitForResponse((response) => response.request().method() === 'POST'),
    tab.click('#buy'),
  ]);
  found.form = { status: bought.status(), origin: (await bought.request().allHeaders()).origin };

  // A stranger's page has the browser send a form, and what scripts can send without being allowed to.
  await tab.goto(`http://localhost:${port(stranger)}/`);
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
  const { origin } = await answer.request().allHeaders();
  found.foreign = { status: answer.status(), code: (await answer.json()).code, origin };
  found.still = await status(`${shop}/shop`);
  found.same = JSON.stringify(await browser.cookies()) === JSON.stringify(found.cookies);

  await tab.click('#leave');
  await tab.waitForURL('**/entrance?*');
  found.left = new URL(tab.url()).search;
  found.after = await status(`${shop}/shop`);
  found.cookies_after = await browser.cookies();
  found.posts = seen.filter((request) => request.method === 'POST').length;
  found.upstream_saw = [...new Set(seen.map((request) => request.cookie))];

  return found;
});
