// A shop behind Envoy, whose upstream this is, and pages on other hosts that call it. The script of those that may is
// told, for it is what our guide prints.
import { page, play, port, say, serve, told } from './stage.mjs';

const PASSWORD = 'four words of her own';
const seen = [];

const upstream = await serve((request) => {
  const { pathname } = new URL(request.url, 'http://shop');
  seen.push({ method: request.method, path: pathname, origin: request.headers.origin ?? null });
  return request.headers['x-consumer-username'] ?? 'nobody';
});
// Whatever the host.
const pages = await serve(() => page('page', `<script>${script}</script>`));
// Of one site with the shop, and listed; of one site, and not listed; of another site.
const [app, other, elsewhere] = ['app.example', 'other.example', 'elsewhere']
  .map((host) => `http://${host}.localhost:${port(pages)}`);

say({ upstream: port(upstream), app });
const { shop, script } = JSON.parse(await told());

await play(async (browser, tab) => {
  const found = {};
  // What comes of each: its status, or that the browser keeps it from the page.
  const each = (asked) => tab.evaluate(async (asked) => {
    const statuses = {};
    for (const [name, act] of Object.entries(asked)) {
      statuses[name] = await eval(`(async () => ${act})()`).then((answer) => answer.status, () => 'refused');
    }
    return statuses;
  }, asked);
  const login = `send('/auth/shop/login', { username: 'alice', password: '${PASSWORD}' })`;
  const use = {
    read: "ask('/shop')",
    change: "send('/shop', { item: 1 })",
    replace: "ask('/shop', { method: 'PUT', body: 'x' })",
    unasked: "fetch(shop + '/shop')",
  };

  await tab.goto(app);
  found.before = await each(use);
  found.wrong = await tab.evaluate(async () => {
    const answer = await send('/auth/shop/login', { username: 'alice', password: 'something else' });
    return { status: answer.status, code: (await answer.json()).code, id: answer.headers.get('x-request-id') !== null };
  });
  found.login = await each({ login });
  found.cookies = await browser.cookies();
  found.app = await each(use);
  found.who = await tab.evaluate(async () => (await ask('/shop')).text());

  // Pages that nobody has listed read nothing, change nothing, and log nobody in or out.
  for (const [name, host] of [['other', other], ['elsewhere', elsewhere]]) {
    await tab.goto(host);
    found[name] = await each({ ...use, login, logout: "send('/auth/shop/logout', {})" });
    // What scripts can send without being allowed to, and what the browser then hears.
    const heard = async (method, path) => {
      const [answer] = await Promise.all([
        tab.waitForResponse((response) => response.url() === shop + path && response.request().method() === method),
        tab.evaluate(([method, path]) => fetch(shop + path, { method, mode: 'no-cors', credentials: 'include' }), [method, path]),
      ]);
      return answer.status();
    };
    found[name].blind = {
      read: await heard('GET', '/shop'),
      change: await heard('POST', '/shop'),
      logout: await heard('POST', '/auth/shop/logout'),
    };
  }
  found.origins = [...new Set(seen.filter((request) => request.method !== 'GET').map((request) => request.origin))];

  await tab.goto(app);
  found.still = await each(use);
  found.same = JSON.stringify(await browser.cookies()) === JSON.stringify(found.cookies);
  found.logout = await each({ logout: "send('/auth/shop/logout', {})" });
  found.cookies_after = await browser.cookies();
  found.after = await each(use);
  found.preflights = seen.filter((request) => request.method === 'OPTIONS').length;
  return found;
});
