// Adds the API token to what it passes on, for programs that cannot be told one: proxy.mjs PORT TOKEN.
// Prints its own port. Host and Origin go on as they came, with the daemon's port in place of ours.
import http from 'node:http';

const [port, token] = process.argv.slice(2);
const server = http.createServer((request, response) => {
  const ours = `:${server.address().port}`;
  const headers = {...request.headers, authorization: `Bearer ${token}`};
  for (const name of ['host', 'origin'])
    if (headers[name]) headers[name] = headers[name].replace(ours, `:${port}`);
  const onward = http.request({host: '127.0.0.1', port, method: request.method, path: request.url, headers}, answer => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  response.on('close', () => onward.destroy());
  request.pipe(onward);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
