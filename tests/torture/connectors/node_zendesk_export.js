// All tickets by the incremental export of node-zendesk: node_zendesk_export.js SUBDOMAIN EMAIL TOKEN FILE
const fs = require('fs');
const {createClient} = require('node-zendesk');

const [subdomain, email, token, output] = process.argv.slice(2);
createClient({username: email, token, subdomain}).tickets.incremental(0).then(
    (tickets) => fs.writeFileSync(output, tickets.map((each) => JSON.stringify(each) + '\n').join('')),
    (error) => { console.error(String(error)); process.exit(1); },
);
