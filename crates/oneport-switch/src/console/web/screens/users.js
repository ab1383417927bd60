// Who may use the console.

import { html, useRef, useState } from '../lib/preact.js';
import { post, put, remove } from '../api.js';
import { useLive } from '../live.js';
import { Ask, Card, Fault, Heading, Waiting } from '../parts.js';

const ROLES = ['viewer', 'operator', 'admin'];

const Role = ({ value, change, name, label }) => html`<select name=${name} aria-label=${label} onChange=${change}>${ROLES.map(one => html`<option key=${one} value=${one} selected=${one === value}>${one}</option>`)}</select>`;

/** A form that empties itself when it has been carried out. */
function useForm(send, done) {
  const [error, setError] = useState(null);
  const form = useRef(null);
  const submit = async event => {
    event.preventDefault();
    try {
      await send(Object.fromEntries(new FormData(form.current)));
      form.current.reset();
      setError(null);
      done();
    } catch (refusal) {
      setError(refusal);
    }
  };
  return { form, submit, error };
}

function Add({ done }) {
  const { form, submit, error } = useForm(
    ({ listen, ...fields }) => post('/v1/users', { ...fields, listen: listen === 'on' }), done,
  );
  return html`<${Card} title="A new user"><form class="stack" ref=${form} onSubmit=${submit}>
    <label class="field">Name<input name="name" required maxlength="64" autocomplete="off" /></label>
    <label class="field">Role<${Role} name="role" value="viewer" /></label>
    <label class="field">Password<input name="password" type="password" required minlength="10" autocomplete="new-password" /></label>
    <label class="check"><input type="checkbox" name="listen" /> may listen to calls</label>
    <${Fault} error=${error} /><button class="primary">Make the user</button></form><//>`;
}

function Password({ users, done }) {
  const { form, submit, error } = useForm(
    ({ user, password }) => put(`/v1/users/${encodeURIComponent(user)}`, { password }), done,
  );
  return html`<${Card} title="A new password" note="ends all sessions of the user"><form class="stack" ref=${form} onSubmit=${submit}>
    <label class="field">User<select name="user">${users.map(one => html`<option key=${one.name}>${one.name}</option>`)}</select></label>
    <label class="field">Password<input name="password" type="password" required minlength="10" autocomplete="new-password" /></label>
    <${Fault} error=${error} /><button class="primary">Set the password</button></form><//>`;
}

export function Users({ who }) {
  const { data, error, again } = useLive('/v1/users', { period: 5000 });
  const [fault, setFault] = useState(null);
  const [asked, setAsked] = useState(null);
  const act = async doing => {
    try {
      await doing;
      setFault(null);
    } catch (refusal) {
      setFault(refusal);
    }
    again();
  };
  const change = (user, what) => act(put(`/v1/users/${encodeURIComponent(user.name)}`, what));
  return html`
    <${Heading} title="Users" />
    <${Fault} error=${fault ?? error} />
    ${!data ? !error && html`<${Waiting} />` : html`
    <div class="scroll" tabindex="0" role="region" aria-label="Users"><table class="list"><caption class="hidden">Users</caption>
      <thead><tr><th scope="col">Name</th><th scope="col">Role</th><th scope="col">Listens to calls</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead>
      <tbody>${data.users.map(user => html`<tr key=${user.name}>
        <td data-label="Name"><strong>${user.name}</strong>${user.name === who.user && html` <small>you</small>`}</td>
        <td data-label="Role"><${Role} value=${user.role} label=${`Role of ${user.name}`} change=${event => change(user, { role: event.target.value })} /></td>
        <td data-label="Listens"><label class="check"><input type="checkbox" checked=${user.listen} onChange=${event => change(user, { listen: event.target.checked })} /><span class="hidden">${user.name} may listen</span></label></td>
        <td class="act"><button class="small" aria-label=${`Remove ${user.name}`} onClick=${() => setAsked(user)}>Remove</button></td></tr>`)}</tbody></table></div>
    <div class="cards below"><${Add} done=${again} /><${Password} users=${data.users} done=${again} /></div>`}
    ${asked && html`<${Ask} title="Remove the user?" label="Remove" act=${() => act(remove(`/v1/users/${encodeURIComponent(asked.name)}`))} close=${() => setAsked(null)}>${asked.name} is signed off everywhere at once.<//>`}`;
}
