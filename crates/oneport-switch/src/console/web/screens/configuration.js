// The configuration file: whether it is good, what a reload would change, and the reload itself.

import { html, useEffect, useRef, useState } from '../lib/preact.js';
import { post, query } from '../api.js';
import { useLive } from '../live.js';
import { count } from '../format.js';
import { Ask, Card, Fault, Heading, Waiting } from '../parts.js';

function Changes({ outcome }) {
  const calls = `${count(outcome.calls)} ${outcome.calls === 1 ? 'call goes' : 'calls go'} on untouched.`;
  if (outcome.changes.length === 0) return html`<p role="status">${outcome.applied ? 'Read again; nothing was different.' : 'The file is good. Nothing would change.'} ${calls}</p>`;
  return html`<div role="status"><p>${outcome.applied ? 'This has changed.' : 'The file is good. This would change.'} ${calls}</p>
    <ul class="changes">${outcome.changes.map(one => html`<li key=${one}>${one}</li>`)}</ul></div>`;
}

/** The lines of the file; the one that was asked for is brought into sight once. */
function Lines({ text, line, label }) {
  const named = useRef(null);
  useEffect(() => named.current?.scrollIntoView({ block: 'center' }), [line]);
  return html`<div class="scroll code" tabindex="0" role="region" aria-label=${label}><ol>${text.replace(/\n$/, '').split('\n').map((one, n) => (n + 1 === line
    ? html`<li key=${n} ref=${named} class="named" aria-current="true"><code>${one}</code></li>`
    : html`<li key=${n}><code>${one || ' '}</code></li>`))}</ol></div>`;
}

/** Where the rule stands that was asked for. */
const place = ({ line, shared }) => line || (shared?.line && `${shared.line} of ${shared.name}`);

export function Configuration({ at: [rule] }) {
  const { data, error, again } = useLive(`/v1/configuration?${query({ rule })}`, { period: 10000 });
  const [outcome, setOutcome] = useState(null);
  const [fault, setFault] = useState(null);
  const [asked, setAsked] = useState(false);
  const reload = async dry => {
    setFault(null);
    setOutcome(null);
    try {
      setOutcome(await post(`/v1/reload${dry ? '?dry_run=true' : ''}`));
    } catch (refusal) {
      setFault(refusal);
    }
    again();
  };
  return html`
    <${Heading} title="Configuration">${data && html`<span class="note">${data.file}</span>`}<//>
    <${Fault} error=${error} />
    ${!data ? !error && html`<${Waiting} />` : html`
    <div class="tools"><button onClick=${() => reload(true)}>Validate, and show what would change</button><button class="primary" onClick=${() => setAsked(true)}>Reload</button></div>
    <${Fault} error=${fault} />
    ${outcome && html`<${Card} title=${outcome.applied ? 'Reloaded' : 'Validated'}><${Changes} outcome=${outcome} /><//>`}
    <h2 class="section">The file as it is now</h2>
    <p class="note told">Secrets are shown as ***. What is written here is in force once it has been reloaded, which happens by itself when the file changes.</p>
    ${rule && html`<p class="told" role="status">${place(data) ? html`<code>${rule}</code> is line ${place(data)}.` : html`<code>${rule}</code> is not written here: what is usual holds.`}</p>`}
    <${Lines} text=${data.text} line=${data.line} label="The file" />
    ${data.shared && html`<h2 class="section">What the switches share, version ${data.shared.version}</h2>
    <p class="note told">It is read as if it stood below the file, by each switch. <code>oneport cluster config set</code> sets another version for all of them.</p>
    <${Lines} text=${data.shared.text} line=${data.shared.line} label="What the switches share" />`}`}
    ${asked && html`<${Ask} title="Reload?" label="Reload" act=${() => reload(false)} close=${() => setAsked(false)}>The switch reads its file again. Calls go on; a file with a mistake changes nothing.<//>`}`;
}
