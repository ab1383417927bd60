// Where would this number go? The switch decides as it would for a call, and says why of each route.

import { html, useEffect, useRef, useState } from '../lib/preact.js';
import { get, query } from '../api.js';
import { useLive } from '../live.js';
import { Card, Empty, Fault, Heading } from '../parts.js';

export function Routes() {
  const [asked, setAsked] = useState(null);
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const form = useRef(null);
  const { data: peers } = useLive('/v1/peers?limit=1000', { period: 30000 });
  useEffect(() => {
    if (!asked) return undefined;
    const stop = new AbortController();
    get(`/v1/route?${query(asked)}`, stop.signal).then(
      decision => { setAnswer(decision); setError(null); },
      refusal => { if (!stop.signal.aborted) { setAnswer(null); setError(refusal); } },
    );
    return () => stop.abort();
  }, [asked]);
  const ask = event => {
    event.preventDefault();
    setAsked(Object.fromEntries(new FormData(form.current)));
  };
  return html`
    <${Heading} title="Routes" />
    <form class="tools fields" ref=${form} onSubmit=${ask}>
      <label class="field grow">Where would this number go?<input type="search" name="number" required placeholder="A number as it is dialled   ( / )" /></label>
      <label class="field">Called by<select name="from"><option value="">a guest</option>${(peers?.peers ?? []).map(peer => html`<option key=${peer.name} value=${peer.name}>${peer.name}</option>`)}</select></label>
      <label class="field">Context<input name="context" placeholder="the caller's own" /></label>
      <button class="primary">Ask</button>
    </form>
    <${Fault} error=${error} />
    ${!answer ? !error && html`<${Empty} title="Ask for a number">The switch goes through its routes as for a call, without placing one, and says of each why it is or is not the one.<//>` : html`
    <div role="status">
      <${Card} title=${`${answer.number}: ${answer.summary}`} wide>
        ${answer.targets.length > 0 && html`<ol class="targets">${answer.targets.map(one => html`<li key=${one}><code>${one}</code></li>`)}</ol>`}
        ${answer.steps.length === 0 ? html`<p class="quiet">No route was looked at.</p>` : html`
        <table class="facts steps"><caption class="hidden">Routes in their order</caption><tbody>${answer.steps.map((step, n) => html`<tr key=${n} class=${step.chosen ? 'chosen' : ''}>
          <th scope="row">${step.chosen ? '→ ' : ''}${step.route}</th><td>${step.chosen ? html`<strong>${step.why}</strong>` : step.why}</td></tr>`)}</tbody></table>`}
      <//>
    </div>`}`;
}
