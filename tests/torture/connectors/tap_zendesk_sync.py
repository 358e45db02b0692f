"""The stream `tickets` of tap-zendesk, with its state: tap_zendesk_sync.py TAP SUBDOMAIN TOKEN FILE STATE."""

import json
import subprocess
import sys
from pathlib import Path

tap, subdomain, token, output, state = sys.argv[1:]
folder = Path(state).parent
# Discovery knows OAuth alone, whose header the server takes with an API token, too.
config = {"start_date": "2000-01-01T00:00:00Z", "subdomain": subdomain, "access_token": token}
(folder / "config.json").write_text(json.dumps({**config, "page_size": 1000}))
command = [tap, "--config", str(folder / "config.json")]
found = subprocess.run([*command, "--discover"], stdout=subprocess.PIPE, check=True)
catalog = json.loads(found.stdout)
for stream in catalog["streams"]:
    for entry in stream["metadata"]:
        if entry["breadcrumb"] == []:
            entry["metadata"]["selected"] = stream["tap_stream_id"] == "tickets"
(folder / "catalog.json").write_text(json.dumps(catalog))
command += ["--catalog", str(folder / "catalog.json")]
if Path(state).exists():
    command += ["--state", state]
process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
with open(output, "a") as file:
    for line in process.stdout:
        file.write(line)
        message = json.loads(line)
        if message["type"] == "STATE":
            file.flush()
            Path(state).write_text(json.dumps(message["value"]))
sys.exit(process.wait())
