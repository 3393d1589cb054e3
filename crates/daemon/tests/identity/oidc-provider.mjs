// A real OpenID Connect provider on loopback, with development pages that accept every login name. The name becomes the
// `sub`. A program gets tokens with its secret for any resource. Prints its port.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const [key, cert, redirect] = process.argv.slice(1);
const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) });
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`https://localhost:${port}`, {
    clients: [
      {
        client_id: 'octelium',
        client_secret: 'secret-of-the-cluster-at-the-provider',
        redirect_uris: [redirect],
        backchannel_logout_uri: new URL('/oidc/backchannel-logout', redirect).href,
        backchannel_logout_session_required: true,
      },
      {
        client_id: 'build-job',
        client_secret: 'secret-of-the-job-at-the-provider',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    // The receiver of back-channel logouts is on loopback, which the provider does not contact by default.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: `${id}@example.com`,
        email_verified: id !== 'mallory',
        name: `The ${id}`,
        groups: ['dev', 'everybody'],
      }),
    }),
    features: {
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          audience: resource,
          scope: 'any',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(port);
});
