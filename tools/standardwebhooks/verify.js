// node verify.js SECRET MODULES <request.json: exits with 0 if the library accepts {"headers":{…},"body":"…"}, and with 1
// and the reason if it does not.
const { createRequire } = require('node:module');
const path = require('node:path');

const [secret, modules] = process.argv.slice(2);
const { Webhook } = createRequire(path.join(modules, 'x.js'))('standardwebhooks');
const request = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

try {
  const payload = new Webhook(secret).verify(request.body, request.headers);
  console.log(JSON.stringify(payload));
} catch (error) {
  console.log(error.message);
  process.exit(1);
}
