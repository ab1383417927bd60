// Asks the HTTP API in the name of whoever has signed in.

let proof = null;
let onGone = () => {};

/** An answer that is no success: one sentence, and what mends it. */
export class Refusal extends Error {
  constructor(status, said) {
    super(said.error);
    this.status = status;
    this.hint = said.hint;
  }
}

const RANKS = ['viewer', 'operator', 'admin'];

/** Whether somebody may do what needs a role. The switch looks, too: this is for what is offered. */
export const may = (who, role) => RANKS.indexOf(who.role) >= RANKS.indexOf(role);

/** Who has signed in, as the switch says; what it gives is sent along with all that changes anything. */
export function enter(standing) {
  proof = standing.proof;
}

/** What is to be done where the session is over. */
export function whenGone(act) {
  onGone = act;
}

async function ask(method, path, body, signal) {
  const headers = {};
  if (proof && method !== 'GET') headers['x-oneport-proof'] = proof;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(path, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal(0, { error: 'The switch cannot be reached.', hint: 'It may be restarting.' });
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const said = await answer.json().catch(() => ({ error: `The switch answers ${answer.status}.` }));
  if (answer.status === 401 && !path.startsWith('/console/')) onGone();
  throw new Refusal(answer.status, said);
}

export const get = (path, signal) => ask('GET', path, undefined, signal);
export const post = (path, body) => ask('POST', path, body);
export const put = (path, body) => ask('PUT', path, body);
export const remove = path => ask('DELETE', path);

/** A query, without what is empty. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== '' && value !== null && value !== undefined && value !== false);
  return new URLSearchParams(given).toString();
}
