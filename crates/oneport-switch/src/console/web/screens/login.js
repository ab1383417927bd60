// Signing in, and making the first user by the link that the switch has printed.

import { html, useEffect, useRef, useState } from '../lib/preact.js';
import { post } from '../api.js';
import { Fault } from '../parts.js';

/** A form that sends what its fields hold. */
function Door({ title, path, also, children, label, entered }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const form = useRef(null);
  useEffect(() => form.current.querySelector('input')?.focus(), []);
  const send = async event => {
    event.preventDefault();
    const { again, ...fields } = Object.fromEntries(new FormData(form.current));
    if (again !== undefined && again !== fields.password) {
      setError({ message: 'The two passwords differ.' });
      return;
    }
    setBusy(true);
    setError(null);
    try {
      const standing = await post(path, { ...fields, ...also });
      if (location.hash.startsWith('#/first')) location.hash = '#/';
      entered(standing);
    } catch (refusal) {
      setError(refusal);
      setBusy(false);
    }
  };
  return html`<main class="door">
    <form ref=${form} onSubmit=${send}>
      <img src="/console/icon.svg" alt="" width="48" height="48" />
      <h1>${title}</h1>
      ${children}
      <${Fault} error=${error} />
      <button class="primary" disabled=${busy}>${busy ? 'One moment…' : label}</button>
    </form></main>`;
}

export function SignIn({ standing, entered }) {
  if (!standing.store) {
    return html`<main class="door"><h1>No users can be kept</h1>
      <p>The switch runs without a store, so nobody can sign in. <code>[store]</code> in its configuration mends that.</p></main>`;
  }
  return html`<${Door} title="Sign in to Oneport" path="/console/session" label="Sign in" entered=${entered}>
    ${standing.empty && html`<p class="hint">There is no user yet. Open the link that <code>oneport serve</code> has printed at its start, or run <code>oneport user add NAME --role admin</code>.</p>`}
    <label>Name<input name="user" autocomplete="username" required autocapitalize="none" spellcheck=${false} /></label>
    <label>Password<input name="password" type="password" autocomplete="current-password" required /></label>
  <//>`;
}

export const First = ({ code, entered }) => html`
  <${Door} title="The first user" path="/console/first" also=${{ code }} label="Make this user" entered=${entered}>
    <p class="hint">This user is an administrator, and makes the others.</p>
    <label>Name<input name="user" autocomplete="username" required maxlength="64" autocapitalize="none" spellcheck=${false} /></label>
    <label>Password<input name="password" type="password" autocomplete="new-password" required minlength="10" /><small>10 characters or more</small></label>
    <label>Password again<input name="again" type="password" autocomplete="new-password" required /></label>
  <//>`;
