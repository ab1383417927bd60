// Listening to a call: what both sides say, played as it comes, from screen to screen until it is stopped. The
// caller is heard on the left, who was called on the right.

import { html, useEffect, useState } from './lib/preact.js';
import { get } from './api.js';

/** Samples in a second, as they are asked for and played: nothing here makes other rates of them. */
const RATE = 16000;

/** What waits before it is heard, and at most, in seconds: so late may a message be, and so far behind we are. */
const AHEAD = 0.15;
const MOST_AHEAD = 0.6;

/** How often the levels are drawn, in milliseconds. */
const DRAWN = 150;

/** What is listened to; `null`: nothing. */
let session = null;
const watchers = new Set();
const meters = new Set();
const show = () => meters.forEach(draw => draw({}));
const tell = () => watchers.forEach(draw => draw({}));

/** The greatest amplitude of each side, from 0 to 1, and its samples for the loudspeaker. */
function split(message) {
  const pairs = new DataView(message);
  const frames = message.byteLength / 4;
  const sides = [0, 1].map(side => {
    const samples = new Float32Array(frames);
    let level = 0;
    for (let n = 0; n < frames; n += 1) {
      samples[n] = pairs.getInt16(4 * n + 2 * side, true) / 32768;
      level = Math.max(level, Math.abs(samples[n]));
    }
    return { samples, level };
  });
  return { frames, sides };
}

/** Plays 20 ms behind what was played before; what comes too late for that is heard at once, what is too early never. */
function play(own, message) {
  const { frames, sides } = split(message);
  const { audio } = own;
  if (own.until < audio.currentTime) own.until = audio.currentTime + AHEAD;
  if (own.until - audio.currentTime > MOST_AHEAD) return;
  const buffer = audio.createBuffer(2, frames, RATE);
  sides.forEach((side, n) => {
    buffer.copyToChannel(side.samples, n);
    own.levels[n] = Math.max(side.level, own.levels[n] * 0.8);
  });
  const source = audio.createBufferSource();
  source.buffer = buffer;
  source.connect(audio.destination);
  source.onended = () => { own.heard += 1; };
  source.start(own.until);
  own.until += frames / RATE;
}

/** Ends the listening; what it is about is shown on with `why` it has ended, if something else than its user did. */
function end(own, why) {
  if (own.over) return;
  own.over = true;
  clearInterval(own.timer);
  own.socket.close();
  own.audio.close();
  if (session === own) session = why ? { ...own, why } : null;
  tell();
}

/** Whether this call is listened to. */
export const listensTo = id => session !== null && !session.over && session.id === id;

export function stopListening() {
  if (session?.over) session = null;
  else if (session) end(session);
  tell();
}

/** Listens to a call from now on, and to no other. To be called when a button is pressed: browsers want that for sound. */
export function listen(id, title) {
  if (session && !session.over) end(session);
  const audio = new AudioContext({ sampleRate: RATE });
  audio.resume();
  const address = new URL(`/v1/calls/${encodeURIComponent(id)}/audio?rate=${RATE}`, location.href);
  address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(address);
  socket.binaryType = 'arraybuffer';
  const own = { id, title, audio, socket, until: 0, levels: [0, 0], heard: 0, lost: 0, begun: false, over: false };
  own.timer = setInterval(show, DRAWN);
  session = own;
  socket.onmessage = event => {
    if (typeof event.data !== 'string') return play(own, event.data);
    const said = JSON.parse(event.data);
    if (said.call) own.begun = true;
    own.lost += said.lost_ms ?? 0;
    return tell();
  };
  socket.onclose = event => {
    if (own.over) return;
    if (own.begun) {
      end(own, event.reason ? `${event.reason}.` : 'The connection is gone.');
      return;
    }
    // The browser does not tell what was answered; the same path says it to whoever asks plainly.
    get(address.pathname).catch(refusal => end(own, refusal.status === 400 ? 'It cannot be listened to now.' : refusal.message));
  };
  tell();
}

function useDrawn(by) {
  const [, draw] = useState({});
  useEffect(() => {
    by.add(draw);
    return () => by.delete(draw);
  }, []);
}

/** Redraws when the listening begins, or ends. */
export const useListening = () => useDrawn(watchers);

const Level = ({ label, value }) => html`<label class="loudness">${label}<meter min="0" max="1" value=${value} aria-label=${`How loud ${label} is`}></meter></label>`;

/** What is listened to, at the foot of every screen. */
export function ListeningBar() {
  useListening();
  useDrawn(meters);
  if (!session) return null;
  const { id, title, begun, over, levels, lost, why, heard } = session;
  return html`<section class="listening" aria-label="Listening" data-heard=${heard}>
    <span role="status">${over ? html`<strong>${title}</strong>: ${why}` : html`${begun ? 'Listening to' : 'Connecting to'} <a href=${`#/call/${id}`}><strong>${title}</strong></a>`}</span>
    ${!over && html`<${Level} label="caller" value=${levels[0]} /><${Level} label="called" value=${levels[1]} />
      ${lost >= 100 && html`<small>${(lost / 1000).toFixed(1)} s were lost on the way</small>`}`}
    <button class="small" onClick=${stopListening}>${over ? 'Close' : 'Stop listening'}</button>
  </section>`;
}
