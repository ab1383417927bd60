// The dial plan, and where a number would go by it: the switch decides as it would for a call, and says why of each
// route.

import { html, useEffect, useRef, useState } from '../lib/preact.js';
import { get, query } from '../api.js';
import { useLive } from '../live.js';
import { count, things } from '../format.js';
import { Card, Empty, Fault, Heading, Waiting } from '../parts.js';

/** How destinations of a route stand beside each other. */
const BETWEEN = { ordered: ', then ', weighted: ' or ', all: ' and ' };

function Plan({ plan }) {
  if (plan.total === 0) return html`<${Empty} title="No route is configured"><code>[[routes]]</code> in the configuration leads numbers to peers and carriers. Built-in destinations and peers can be called by their names without one.<//>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Routes"><table class="list"><caption class="hidden">Routes in their order</caption>
    <thead><tr><th scope="col">Route</th><th scope="col">Numbers</th><th scope="col">Called by</th><th scope="col">Leads to</th></tr></thead>
    <tbody>${plan.routes.map((one, n) => html`<tr key=${n}>
      <td data-label="Route"><div class="leg"><strong>${one.name}</strong>${one.emergency && html`<small>past all limits</small>`}</div></td>
      <td data-label="Numbers"><div class="leg"><span class="wrap">${one.number}</span>${one.hours.length > 0 && html`<small>${one.hours.join(' or ')}</small>`}</div></td>
      <td data-label="Called by"><div class="leg">${one.from.join(', ') || 'all peers'}<small>in ${one.contexts.join(', ')}</small></div></td>
      <td data-label="Leads to" class="wrap">${one.to.join(BETWEEN[one.strategy])}</td></tr>`)}</tbody></table></div>
    ${plan.total > plan.routes.length && html`<p class="quiet below">The first ${count(plan.routes.length)} of ${count(plan.total)}.</p>`}`;
}

export function Routes() {
  const [asked, setAsked] = useState(null);
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const form = useRef(null);
  const { data: peers } = useLive('/v1/peers?limit=1000', { period: 30000 });
  const { data: plan, error: unread } = useLive('/v1/routes', { period: 10000 });
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
    <${Heading} title="Routes">${plan && html`<span class="note">${things(plan.total, 'route')}</span>`}<//>
    <form class="tools fields" ref=${form} onSubmit=${ask}>
      <label class="field grow">Where would this number go?<input type="search" name="number" required placeholder="A number as it is dialled   ( / )" /></label>
      <label class="field">Called by<select name="from"><option value="">a guest</option>${(peers?.peers ?? []).map(peer => html`<option key=${peer.name} value=${peer.name}>${peer.name}</option>`)}</select></label>
      <label class="field">Context<input name="context" placeholder="the caller's own" /></label>
      <button class="primary">Ask</button>
    </form>
    <${Fault} error=${error} />
    ${answer && html`
    <div class="answer" role="status">
      <${Card} title=${`${answer.number}: ${answer.summary}`} wide>
        ${answer.targets.length > 0 && html`<ol class="targets">${answer.targets.map(one => html`<li key=${one}><code>${one}</code></li>`)}</ol>`}
        ${answer.steps.length === 0 ? html`<p class="quiet">No route was looked at.</p>` : html`
        <table class="facts steps"><caption class="hidden">Routes in their order</caption><tbody>${answer.steps.map((step, n) => html`<tr key=${n} class=${step.chosen ? 'chosen' : ''}>
          <th scope="row">${step.chosen ? '→ ' : ''}${step.route}</th><td>${step.chosen ? html`<strong>${step.why}</strong>` : step.why}</td></tr>`)}</tbody></table>`}
      <//>
    </div>`}
    <${Fault} error=${unread} />
    ${!plan ? !unread && html`<${Waiting} />` : html`<${Plan} plan=${plan} />`}`;
}
