// What is shown stays true: a screen asks again each second, and at once when an event says that something
// has happened. A tab that nobody sees asks nothing.

import { useCallback, useEffect, useRef, useState } from './lib/preact.js';
import { get } from './api.js';

/** How often figures that move are asked for, and how soon after an event. */
const PERIOD = 1000;
const SOON = 150;

/** A screen that takes long to draw is drawn so many times less often, so that there is time for who uses it. */
const SHARE = 4;

/** How long after events were refused, as too many listen, they are asked for again. */
const LATER = 5000;

const listeners = new Set();
let source = null;

function listen() {
  if (source || document.hidden || listeners.size === 0) return;
  const own = new EventSource('/v1/events');
  source = own;
  own.onerror = () => {
    // A connection that breaks is made again by the browser; an answer that is no stream is not.
    if (source !== own || own.readyState !== EventSource.CLOSED) return;
    source = null;
    setTimeout(listen, LATER);
  };
  for (const kind of KINDS) {
    own.addEventListener(kind, event => {
      const news = JSON.parse(event.data);
      for (const listener of listeners) listener(news);
    });
  }
}

function hush() {
  source?.close();
  source = null;
}

const KINDS = [
  'call_begun', 'call_ringing', 'call_answered', 'call_joined', 'call_choppy', 'call_one_way', 'call_both_ways',
  'call_ended', 'refused', 'registration', 'registration_elsewhere', 'limit', 'overload', 'peer',
  'radio_keyed', 'radio_links', 'radio_text',
];

document.addEventListener('visibilitychange', () => (document.hidden ? hush() : listen()));

/** Hears of what happens, as long as a screen is there. */
export function useNews(act) {
  const newest = useRef(act);
  newest.current = act;
  useEffect(() => {
    const listener = news => newest.current(news);
    listeners.add(listener);
    listen();
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) hush();
    };
  }, []);
}

/**
 * The answer to a GET, kept fresh; `kinds` are the events behind which it is asked for at once.
 * Where it fails the last answer stays, and `error` says why.
 */
export function useLive(path, { kinds = [], period = PERIOD } = {}) {
  const [answer, setAnswer] = useState({ path, data: null, error: null });
  const state = useRef({});
  const again = useCallback(() => state.current.soon?.(), []);
  useEffect(() => {
    if (path === null) return undefined;
    const stop = new AbortController();
    let timer = null;
    let last = 0;
    let busy = false;
    let wanted = false;
    let drawing = 0;
    const plan = delay => {
      clearTimeout(timer);
      timer = setTimeout(look, delay);
    };
    async function look() {
      if (document.hidden) return;
      if (busy) {
        wanted = true;
        return;
      }
      busy = true;
      wanted = false;
      last = performance.now();
      try {
        const data = await get(path, stop.signal);
        const begun = performance.now();
        setAnswer({ path, data, error: null });
        requestAnimationFrame(() => setTimeout(() => { drawing = performance.now() - begun; }));
      } catch (error) {
        if (stop.signal.aborted) return;
        setAnswer(before => ({ path, data: before.path === path ? before.data : null, error }));
      }
      busy = false;
      plan(wanted ? pause() : period);
    }
    state.current.soon = () => {
      if (busy) wanted = true;
      else plan(Math.max(0, pause() - (performance.now() - last)));
    };
    const pause = () => Math.min(PERIOD, Math.max(SOON, SHARE * drawing));
    const shown = () => !document.hidden && look();
    document.addEventListener('visibilitychange', shown);
    look();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', shown);
    };
  }, [path, period]);
  useNews(news => kinds.includes(news.event) && again());
  // What was asked for before is shown on until there is something newer, so that nothing flickers.
  return { data: answer.data, error: answer.error, again };
}
