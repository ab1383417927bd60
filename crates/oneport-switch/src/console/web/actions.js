// What is done to a call that is up, by whoever may: listen, record, transfer, hang up.

import { html, useEffect, useRef, useState } from './lib/preact.js';
import { may, post, remove } from './api.js';
import { Ask, Fault } from './parts.js';
import { listen, listensTo, stopListening, useListening } from './listening.js';

/** Where one side goes. The dialog stays where the switch says no. */
function Transfer({ call, close, done }) {
  const dialog = useRef(null);
  const form = useRef(null);
  const [error, setError] = useState(null);
  useEffect(() => dialog.current.showModal(), []);
  const send = async event => {
    event.preventDefault();
    const { to, context, party } = Object.fromEntries(new FormData(form.current));
    try {
      await post(`/v1/calls/${call.id}/transfer`, { to: to.trim(), context: context.trim() || null, party });
      dialog.current.close();
      done();
    } catch (refusal) {
      setError(refusal);
    }
  };
  return html`<dialog ref=${dialog} class="ask" onClose=${close} aria-labelledby="transfer-title">
    <h2 id="transfer-title">Transfer</h2>
    <form class="stack" ref=${form} onSubmit=${send}>
      <fieldset><legend>Who is led on; the other side is hung up</legend>
        <label class="check"><input type="radio" name="party" value="caller" defaultChecked /> the caller, ${call.from}</label>
        <label class="check"><input type="radio" name="party" value="called" /> who was called, ${call.to}</label></fieldset>
      <label class="field">To<input name="to" required maxlength="80" autocomplete="off" placeholder="A number, as the other side may call it" /></label>
      <label class="field">Context<input name="context" autocomplete="off" placeholder="that of the other side" /></label>
      <${Fault} error=${error} />
      <div class="actions"><button type="button" onClick=${() => dialog.current.close()}>Cancel</button><button class="primary">Transfer</button></div>
    </form></dialog>`;
}

/** The buttons of a call; those of a row of a list say which call they are of, and leave recording to its own screen. */
function Buttons({ who, call, brief, act, ask }) {
  useListening();
  const title = `${call.from} → ${call.to}`;
  const path = `/v1/calls/${call.id}`;
  const operator = may(who, 'operator');
  const button = (text, does) => html`<button class="small" aria-label=${brief ? `${text}: ${title}` : undefined} onClick=${does}>${text}</button>`;
  return html`<span class="buttons">
    ${who.listens && call.answered && (listensTo(call.id) ? button('Stop listening', stopListening) : button('Listen', () => listen(call.id, title)))}
    ${operator && !brief && call.answered && (call.recorded ? button('End recording', () => act(remove(`${path}/recording`))) : button('Record', () => act(post(`${path}/recording`))))}
    ${operator && call.answered && call.bridged && button('Transfer', () => ask('transfer'))}
    ${operator && button('Hang up', () => ask('hang up'))}</span>`;
}

/**
 * Buttons for calls, and the dialog that one of them has opened, which stays though its row may move away. A call is what
 * they show and need: `id`, `from`, `to`, and whether it is `answered`, `recorded` and `bridged` (only then there is
 * another side to lead on). `done` is told of what was done, `failed` of what was not, or of nothing any more.
 */
export function useActions({ who, done, failed }) {
  const [asked, setAsked] = useState(null);
  const act = doing => doing.then(() => { failed(null); done(); }, failed);
  const close = () => setAsked(null);
  const { call, what } = asked ?? {};
  return {
    buttons: (about, brief) => html`<${Buttons} who=${who} call=${about} brief=${brief} act=${act} ask=${wanted => setAsked({ call: about, what: wanted })} />`,
    dialog: what === 'transfer' ? html`<${Transfer} call=${call} close=${close} done=${done} />`
      : what === 'hang up' ? html`<${Ask} title="Hang up?" label="Hang up" act=${() => act(remove(`/v1/calls/${call.id}`))} close=${close}>The call ${call.from} → ${call.to} ends for both sides.<//>` : null,
  };
}
