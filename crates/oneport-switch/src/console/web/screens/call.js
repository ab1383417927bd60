// One call: how both sides hear it, what ails it, and what has become of it.

import { html, useEffect, useRef, useState } from '../lib/preact.js';
import { useActions } from '../actions.js';
import { get, may } from '../api.js';
import { useLive } from '../live.js';
import { clock, count, fixed, moment } from '../format.js';
import { Card, Fault, Heading, Mos, Plot, State, Waiting } from '../parts.js';

/** Seconds that are kept here one by one; what was before is known in longer parts. */
const KEPT = 600;

/** How often the parts that the switch keeps are asked for, in milliseconds. */
const PARTS = 10000;

/** The share that was lost between two counts, per cent; nothing where nothing was to come. */
function lostBetween(before, now) {
  const [frames, lost] = [now.frames - before.frames, now.lost - before.lost];
  return frames >= 0 && lost >= 0 && frames + lost > 0 ? (lost * 100) / (frames + lost) : null;
}

/** What is heard of each leg second by second, as long as this page is open. */
function useSeconds(call) {
  const all = useRef(new Map());
  useEffect(() => {
    if (!call) return;
    for (const leg of [call.caller, ...call.called]) {
      const known = all.current.get(leg.channel);
      const there = leg.heard_there ?? { frames: 0, lost: 0 };
      const seconds = known?.seconds ?? [];
      if (known) {
        const reported = known.there.frames !== there.frames;
        const heard = leg.heard.frames > known.here.frames;
        seconds.push({
          at: performance.now(),
          lost_percent: lostBetween(known.here, leg.heard),
          jitter_ms: heard ? leg.heard.jitter_ms : null,
          late_ms: heard ? leg.heard.late_now_ms : null,
          round_trip_ms: leg.rtt_ms,
          // It reports now and then, and stands by what it has said.
          lost_percent_there: reported ? lostBetween(known.there, there) : seconds.at(-1)?.lost_percent_there ?? null,
          jitter_ms_there: leg.heard_there?.jitter_ms ?? null,
          buffer_ms_there: leg.heard_there?.delay_ms ?? null,
        });
        if (seconds.length > KEPT) seconds.shift();
      }
      all.current.set(leg.channel, { seconds, here: leg.heard, there });
    }
  }, [call]);
  return all.current;
}

/** What the switch has kept of each leg from its beginning on. */
function useParts(id) {
  const { data } = useLive(id && `/v1/calls/${encodeURIComponent(id)}/timeline`, { kinds: ['call_answered'], period: PARTS });
  const [known, know] = useState(null);
  useEffect(() => { if (data) know({ at: performance.now(), legs: new Map(data.legs.map(leg => [leg.channel, leg.parts])) }); }, [data]);
  return known;
}

/** Both, oldest first, each with how long ago it was. */
function lineOf(channel, parts, seconds) {
  const now = performance.now();
  const fine = (seconds.get(channel)?.seconds ?? []).map(one => ({ ...one, seconds_ago: (now - one.at) / 1000 }));
  const since = parts ? (now - parts.at) / 1000 : 0;
  const coarse = (parts?.legs.get(channel) ?? []).map(one => ({ ...one, seconds_ago: one.seconds_ago + since }));
  const oldest = fine[0]?.seconds_ago ?? 0;
  return [...coarse.filter(one => one.seconds_ago > oldest), ...fine];
}

/** Loss, jitter and delay of both directions since the leg began. */
function Timeline({ leg, line }) {
  if (line.length < 2) return html`<p class="quiet">Its timeline begins with the first voice.</p>`;
  const seconds = Math.max(leg.seconds, line[0].seconds_ago, 1);
  const ago = line.map(one => one.seconds_ago);
  const drawn = (label, unit, ...series) => html`<${Plot} label=${label} unit=${unit} height=${60} seconds=${seconds} ago=${ago}
    series=${series.map(([name, tone, figure, dashed]) => ({ name, tone, dashed, values: line.map(one => one[figure]) }))} />`;
  return html`<div class="timeline" role="group" aria-label="Timeline">
    ${drawn('Loss in both directions', '%', ['lost here', 'bad', 'lost_percent'], ['lost there', 'poor', 'lost_percent_there', true])}
    ${drawn('Jitter in both directions', 'ms', ['jitter here', 'accent', 'jitter_ms'], ['jitter there', 'fair', 'jitter_ms_there', true])}
    ${drawn('Delay', 'ms', ['late here', 'accent', 'late_ms'], ['buffer there', 'fair', 'buffer_ms_there', true], ['round trip', 'none', 'round_trip_ms'])}</div>`;
}

function Leg({ leg, title, line }) {
  return html`<${Card} title=${title} note=${leg.peer ?? leg.address}>
    ${leg.one_way && html`<p class="ail"><strong>Not heard:</strong> ${leg.one_way.why}</p>`}
    ${leg.diagnosis && html`<div class="ail"><p><strong>Choppy:</strong> ${leg.diagnosis}</p>${leg.remedies.length > 0 && html`<ul>${leg.remedies.map(one => html`<li key=${one}>${one}</li>`)}</ul>`}</div>`}
    <table class="facts two"><thead><tr><td></td><th scope="col" class="num">heard here</th><th scope="col" class="num">heard there</th></tr></thead><tbody>
      <tr><th scope="row">MOS</th><td class="num"><${Mos} value=${leg.heard.mos} /></td><td class="num"><${Mos} value=${leg.heard_there?.mos ?? null} /></td></tr>
      <tr><th scope="row">Frames</th><td class="num">${count(leg.heard.frames)}</td><td class="num">${count(leg.heard_there?.frames)}</td></tr>
      <tr><th scope="row">Lost</th><td class="num">${count(leg.heard.lost)}</td><td class="num">${count(leg.heard_there?.lost)}</td></tr>
      <tr><th scope="row">Jitter</th><td class="num">${fixed(leg.heard.jitter_ms)} ms</td><td class="num">${leg.heard_there ? `${leg.heard_there.jitter_ms} ms` : '–'}</td></tr>
      <tr><th scope="row">95 of 100 within</th><td class="num">${fixed(leg.heard.late_p95_ms)} ms</td><td></td></tr>
      <tr><th scope="row">Round trip</th><td class="num">${leg.rtt_ms === null ? '–' : `${fixed(leg.rtt_ms)} ms`}</td><td></td></tr>
      <tr><th scope="row">Codec</th><td class="num">${leg.codec ?? '–'}${leg.encrypted ? ', encrypted' : ''}</td><td></td></tr>
    </tbody></table>
    <${Timeline} leg=${leg} line=${line} />
    <p class="quiet">${leg.channel}: ${leg.first_message} … ${leg.last_message}, ${count(leg.retransmissions)} frames sent again</p>
  <//>`;
}

/** A ladder: a column for each leg's far end with the switch between them, and a row for each message. */
function Ladder({ id }) {
  const { data, error } = useLive(`/v1/calls/${id}/ladder`, { kinds: ['call_answered', 'call_ended'], period: 2000 });
  if (!data) return error ? html`<p class="quiet">${error.message}</p>` : null;
  if (data.messages.length === 0) return html`<p class="quiet">The beginning of this call is no longer among the last signalling that is kept.</p>`;
  return html`<div class="scroll plain" tabindex="0" role="region" aria-label="Messages"><table class="list ladder"><caption class="hidden">Messages</caption>
    <thead><tr><th scope="col" class="num">ms</th><th scope="col">${data.legs[0]}</th><th scope="col">Switch</th>${data.legs.slice(1).map((leg, n) => html`<th scope="col" key=${n}>${leg}</th>`)}</tr></thead>
    <tbody>${data.messages.map((one, n) => {
      const arrow = (one.leg === 0) === one.incoming ? '→' : '←';
      const said = html`<span class=${one.incoming ? 'said in' : 'said out'}><span class="hidden">${one.incoming ? 'to the switch' : 'from the switch'} </span>${arrow === '←' ? '← ' : ''}<code>${one.text}</code>${one.encrypted ? ' encrypted' : ''}${arrow === '→' ? ' →' : ''}</span>`;
      return html`<tr key=${n}><td class="num">${count(Math.round(one.ms) || 0)}</td>${one.leg === 0 ? html`<td>${said}</td><td></td>` : html`<td></td><td></td>`}${data.legs.slice(1).map((_, column) => html`<td key=${column}>${one.leg === column + 1 ? said : ''}</td>`)}</tr>`;
    })}</tbody></table></div>`;
}

function Story({ story }) {
  return html`
    ${story.legs.length > 0 && html`<div class="cards">${story.legs.map(leg => html`<${Card} key=${leg.leg} title=${`Leg ${leg.leg}, ${leg.direction}`} note=${leg.peer ?? 'a guest'}>
      <table class="facts"><tbody>
        <tr><th scope="row">Number</th><td class="num wrap">${leg.calling_number ?? '–'} → ${leg.called_number}</td></tr>
        <tr><th scope="row">Began</th><td class="num">${moment(leg.start)}</td></tr>
        <tr><th scope="row">Answered</th><td class="num">${leg.answer ? moment(leg.answer) : 'no'}</td></tr>
        <tr><th scope="row">Ended</th><td class="num">${moment(leg.end)}, by ${leg.hung_up_by}</td></tr>
        <tr><th scope="row">Lasted, talked</th><td class="num">${clock(leg.duration_ms / 1000)}, ${clock(leg.billable_ms / 1000)}</td></tr>
        <tr><th scope="row">Why</th><td class="num wrap">${leg.reason}, cause ${leg.cause}${leg.cause_text ? ` (${leg.cause_text})` : ''}</td></tr>
        <tr><th scope="row">Route, destination</th><td class="num wrap">${leg.route ?? '–'}, ${leg.destination ?? '–'}</td></tr>
        <tr><th scope="row">Codec</th><td class="num">${leg.codec ?? '–'}</td></tr>
        <tr><th scope="row">MOS here, there</th><td class="num"><${Mos} value=${leg.quality.mos ?? null} /> <${Mos} value=${leg.quality.remote_mos ?? null} /></td></tr>
        <tr><th scope="row">Lost of frames</th><td class="num">${count(leg.quality.lost)} of ${count(leg.quality.lost + leg.quality.frames)}</td></tr>
      </tbody></table>
      ${leg.quality.diagnosis && html`<p class="ail"><strong>Choppy:</strong> ${leg.quality.diagnosis}</p>`}
      ${leg.quality.one_way_why && html`<p class="ail"><strong>Not heard:</strong> ${leg.quality.one_way_why}</p>`}<//>`)}</div>`}
    ${story.refusals.map(one => html`<div class="fault" key=${one.number}><strong>${one.why}</strong><span>${one.stage}${one.rule ? `, ${one.rule}` : ''}${one.cause !== null ? `, cause ${one.cause}` : ''}</span>${one.fix && html`<span>${one.fix}</span>`}</div>`)}`;
}

const from = call => call.calling_number ?? call.caller.peer ?? 'a guest';

/** What actions need to know of a call. */
const acted = call => ({
  id: call.id,
  from: from(call),
  to: call.number,
  answered: call.state === 'answered',
  recorded: call.recording !== null,
  bridged: call.called.length === 1,
});

export function Call({ who, at: [id] }) {
  const [story, setStory] = useState(null);
  const [fault, setFault] = useState(null);
  const [over, setOver] = useState(false);
  const { data, error, again } = useLive(over ? null : `/v1/calls/${encodeURIComponent(id)}`, { kinds: ['call_ringing', 'call_answered', 'call_ended', 'call_choppy', 'call_one_way'] });
  const gone = error?.status === 404;
  useEffect(() => { if (gone) setOver(true); }, [gone]);
  useEffect(() => {
    if (!over) return undefined;
    // Its record is written a moment behind its end.
    let timer = null;
    let left = 10;
    const stop = new AbortController();
    const look = () => get(`/v1/calls/${encodeURIComponent(id)}/story`, stop.signal).then(
      found => { setStory(found); setFault(null); },
      refusal => {
        if (stop.signal.aborted) return;
        setFault(refusal);
        left -= 1;
        if (left > 0) timer = setTimeout(look, 500);
      },
    );
    look();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [over, id]);
  const call = over ? null : data;
  const seconds = useSeconds(call);
  const parts = useParts(over ? null : id);
  const { buttons, dialog } = useActions({ who, done: again, failed: setFault });
  if (over) {
    return html`<${Heading} title="Call"><${State} is="over" /><span class="note">${id}</span>${may(who, 'operator') && html`<a class="note" href=${`#/log/call/${id}`}>in the log</a>`}<//>
      ${story ? html`<${Story} story=${story} />` : fault ? html`<${Fault} error=${fault} />` : html`<${Waiting} />`}`;
  }
  if (!call) return html`<${Heading} title="Call" />${error ? html`<${Fault} error=${error} />` : html`<${Waiting} />`}`;
  return html`
    <${Heading} title=${`${from(call)} → ${call.number}`}><${State} is=${call.state} /><span class="note">${clock(call.seconds)}${call.route ? `, by route ${call.route}` : ''}${call.destination ? ` to ${call.destination}` : ''}</span>
      ${buttons(acted(call))}<//>
    <${Fault} error=${fault ?? error} />
    <p class="note idline">${id}${may(who, 'operator') && html` · <a href=${`#/log/call/${id}`}>in the log</a>`}${call.transcoded ? ` · transcoded ${call.transcoded.caller} ↔ ${call.transcoded.called}` : ''}${call.recording ? ` · recorded into ${call.recording.file}` : ''}${call.listeners.length > 0 ? ` · ${call.listeners.join(', ')} listen` : ''}</p>
    <div class="cards">
      <${Leg} leg=${call.caller} title="Caller" line=${lineOf(call.caller.channel, parts, seconds)} />
      ${call.called.map(leg => html`<${Leg} key=${leg.channel} leg=${leg} title="Called" line=${lineOf(leg.channel, parts, seconds)} />`)}
    </div>
    <h2 class="section">Messages</h2>
    ${may(who, 'operator') ? html`<${Ladder} id=${id} />` : html`<p class="quiet">Operators see what was said to set it up.</p>`}
    ${dialog}`;
}
