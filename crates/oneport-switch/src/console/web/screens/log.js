// The log of the switch as it is written, by level, call, peer and text.

import { html, useEffect, useLayoutEffect, useRef, useState } from '../lib/preact.js';
import { get, may, query } from '../api.js';
import { count, things } from '../format.js';
import { Empty, Fault, Heading, Status, Waiting } from '../parts.js';

/** How often new lines are asked for, in milliseconds. */
const PERIOD = 1000;

/** Lines that are kept here, and that are asked for at once. */
const KEPT = 500;

/** How near to its end the list must be to go on with it, in pixels. */
const NEAR = 40;

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];
const TONES = { error: 'bad', warn: 'poor', info: 'none', debug: 'none', trace: 'none' };

/** Lines that fit, as they come; `paused`: no more of them. */
function useLines(filter, paused) {
  const wanted = query(filter);
  const [shown, setShown] = useState({ wanted: null, lines: [], missed: 0, error: null });
  const newest = useRef({ wanted: null, number: 0 });
  useEffect(() => {
    if (paused) return undefined;
    const stop = new AbortController();
    let timer = null;
    const look = async () => {
      if (!document.hidden) {
        const after = newest.current.wanted === wanted ? newest.current.number : 0;
        try {
          const { lines, newest: number, missed } = await get(`/v1/log?${query({ ...filter, after, limit: KEPT })}`, stop.signal);
          newest.current = { wanted, number };
          setShown(before => {
            const same = before.wanted === wanted;
            if (same && lines.length === 0 && missed === 0 && !before.error) return before;
            const all = same ? [...before.lines, ...lines] : lines;
            return { wanted, lines: all.slice(-KEPT), missed: (same ? before.missed : 0) + missed, error: null };
          });
        } catch (error) {
          if (stop.signal.aborted) return;
          setShown(before => ({ ...before, error }));
        }
      }
      timer = setTimeout(look, PERIOD);
    };
    look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [wanted, paused]);
  return { ...shown, waits: shown.wanted !== wanted && !shown.error };
}

const two = number => String(number).padStart(2, '0');
function clockOf(text) {
  const at = new Date(text);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

const Line = ({ line }) => html`<li class=${`said-${line.level}`} title=${`${line.at} ${line.target}`}>
  <time datetime=${line.at}>${clockOf(line.at)}</time> <span class=${`level ${TONES[line.level]}`}>${line.level}</span>
  <span class="message">${line.message}${line.call && html` <a href=${`#/call/${line.call}`}>the call</a>`}</span></li>`;

export function Log({ who, at: [kind, value] }) {
  const [filter, setFilter] = useState({ level: 'info', call: kind === 'call' ? value : '', peer: kind === 'peer' ? value : '', search: '' });
  const [paused, setPaused] = useState(false);
  const typed = useRef(null);
  const list = useRef(null);
  const atEnd = useRef(true);
  const { lines, missed, error, waits } = useLines(filter, paused);
  useLayoutEffect(() => {
    if (list.current && atEnd.current) list.current.scrollTop = list.current.scrollHeight;
  }, [lines]);
  const change = name => event => {
    const text = event.target.value;
    clearTimeout(typed.current);
    typed.current = setTimeout(() => { atEnd.current = true; setFilter(before => ({ ...before, [name]: text.trim() })); }, name === 'level' ? 0 : 250);
  };
  const levels = may(who, 'admin') ? LEVELS : LEVELS.slice(0, 3);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = list.current;
    atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR;
  };
  const filtered = filter.call || filter.peer || filter.search || filter.level !== 'info';
  return html`
    <${Heading} title="Log"><${Status} text=${`${things(lines.length, 'line')}${paused ? ', paused' : ''}`} about=${`${query(filter)} ${paused}`} />
      ${missed > 0 && html`<span class="note poor">${count(missed)} more came too fast to be shown</span>`}<//>
    <div class="tools fields">
      <label class="field grow">Text<input type="search" placeholder="In any line   ( / )" onInput=${change('search')} /></label>
      <label class="field">Peer<input defaultValue=${filter.peer} name="peer" autocomplete="off" onInput=${change('peer')} /></label>
      <label class="field">Call<input defaultValue=${filter.call} name="call" autocomplete="off" placeholder="Its id" onInput=${change('call')} /></label>
      <label class="field">At least<select name="level" onChange=${change('level')}>${levels.map(one => html`<option key=${one} value=${one} selected=${one === filter.level}>${one}</option>`)}</select></label>
      <button aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? 'Go on' : 'Pause'}</button>
    </div>
    <${Fault} error=${error} />
    ${waits ? html`<${Waiting} />` : lines.length === 0 ? !error && html`<${Empty} title=${filtered ? 'No line fits' : 'Nothing is in the log yet'}>${filtered ? 'Take a filter away. Of the log the last megabyte is kept, at the levels that it has.' : 'What happens from now on appears here.'}<//>` : html`
    <div class="scroll log" ref=${list} onScroll=${scrolled} tabindex="0" role="log" aria-live="off" aria-label="Lines of the log"><ol>${lines.map(line => html`<${Line} key=${line.number} line=${line} />`)}</ol></div>`}`;
}
