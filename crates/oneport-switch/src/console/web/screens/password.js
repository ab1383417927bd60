// One's own password.

import { html, useRef, useState } from '../lib/preact.js';
import { put } from '../api.js';
import { Card, Fault, Heading } from '../parts.js';

export function Password({ who, entered }) {
  const [error, setError] = useState(null);
  const [done, setDone] = useState(false);
  const form = useRef(null);
  const send = async event => {
    event.preventDefault();
    setDone(false);
    setError(null);
    const { old, fresh, again } = Object.fromEntries(new FormData(form.current));
    if (fresh !== again) {
      setError({ message: 'The two new passwords differ.' });
      return;
    }
    try {
      // All sessions end with the old password; this page goes on in a new one.
      entered(await put('/console/password', { old, new: fresh }));
      form.current.reset();
      setDone(true);
    } catch (refusal) {
      setError(refusal);
    }
  };
  return html`
    <${Heading} title="Your password" />
    <div class="cards"><${Card} title="A new password" note="signs you off everywhere else">
      <form class="stack" ref=${form} onSubmit=${send}>
        <input name="user" autocomplete="username" value=${who.user} readonly hidden />
        <label class="field">The old one<input name="old" type="password" autocomplete="current-password" required /></label>
        <label class="field">The new one<input name="fresh" type="password" autocomplete="new-password" required minlength="10" /><small>10 characters or more</small></label>
        <label class="field">The new one again<input name="again" type="password" autocomplete="new-password" required /></label>
        <${Fault} error=${error} />
        ${done && html`<p role="status">The password is changed.</p>`}
        <button class="primary">Change the password</button>
      </form><//></div>`;
}
