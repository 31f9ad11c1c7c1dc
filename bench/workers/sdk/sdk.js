// The same function on the module; `async` as its argument makes it a task for each message.
const { run } = require('../../../sdk/node/drop-function.js');

run(process.argv[2] === 'async' ? async (message) => message : (message) => message);
