// Node without packages: streamed chat by fetch, a request of unknown length, realtime by the browser's WebSocket.
// SPDX-License-Identifier: Apache-2.0
const base = process.argv[2];
const headers = {Authorization: 'Bearer sk-test', 'Content-Type': 'application/json'};
const ask = {messages: [{role: 'user', content: 'Good morning.'}]};
const streamed = await fetch(base + '/v1/chat/completions', {method: 'POST', headers, body: JSON.stringify({...ask, stream: true})});
let text = '', rest = '', done = false;
for await (const piece of streamed.body.pipeThrough(new TextDecoderStream())) {
  rest += piece;
  for (let at; (at = rest.indexOf('\n\n')) >= 0; rest = rest.slice(at + 2)) {
    const line = rest.slice(0, at);
    if (line === 'data: [DONE]') done = true;
    else if (line.startsWith('data: ')) text += JSON.parse(line.slice(6)).choices[0]?.delta?.content ?? '';
  }
}
if (!done || !text) throw Error('no answer');
const body = new ReadableStream({start(c) {
  for (const piece of JSON.stringify(ask).match(/.{1,9}/gs)) c.enqueue(new TextEncoder().encode(piece));
  c.close();
}});
const chunked = await (await fetch(base + '/v1/chat/completions', {method: 'POST', duplex: 'half', headers, body})).json();
if (chunked.choices[0].message.content !== text) throw Error('another answer: ' + JSON.stringify(chunked));

const socket = new WebSocket(base.replace('http', 'ws') + '/v1/realtime?model=any', ['realtime', 'openai-insecure-api-key.sk-test']);
const seen = {};
socket.onerror = e => { console.error(e.message ?? e); process.exit(1); };
socket.onopen = () => {
  if (socket.protocol !== 'realtime') throw Error('subprotocol ' + socket.protocol);
  for (const event of [
    {type: 'session.update', session: {type: 'realtime', output_modalities: ['text']}},
    {type: 'conversation.item.create', item: {type: 'message', role: 'user', content: [{type: 'input_text', text: 'Good morning.'}]}},
    {type: 'response.create'}]) socket.send(JSON.stringify(event));
};
socket.onmessage = message => {
  const event = JSON.parse(message.data);
  seen[event.type] = (seen[event.type] ?? 0) + 1;
  if (event.type !== 'response.done') return;
  if (event.response.status !== 'completed' || !seen['response.output_text.delta']) throw Error(JSON.stringify(event));
  socket.close();
};
