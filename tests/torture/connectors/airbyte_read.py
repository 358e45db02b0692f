"""The stream `tickets` of Airbyte's source, with its state: airbyte_read.py SOURCE SUBDOMAIN EMAIL TOKEN FILE STATE."""

import json
import subprocess
import sys
from pathlib import Path

source, subdomain, email, token, output, state = sys.argv[1:]
folder = Path(state).parent
credentials = {"credentials": "api_token", "email": email, "api_token": token}
config = {"subdomain": subdomain, "start_date": "2000-01-01T00:00:00Z", "credentials": credentials}
(folder / "config.json").write_text(json.dumps(config))
stream = {"name": "tickets", "json_schema": {}, "supported_sync_modes": ["incremental"], "source_defined_cursor": True}
modes = {"sync_mode": "incremental", "destination_sync_mode": "append", "cursor_field": ["generated_timestamp"]}
(folder / "catalog.json").write_text(json.dumps({"streams": [{"stream": stream, **modes}]}))
command = [source, "read", "--config", str(folder / "config.json"), "--catalog", str(folder / "catalog.json")]
if Path(state).exists():
    command += ["--state", state]
process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
with open(output, "a") as file:
    for line in process.stdout:
        message = json.loads(line)
        if message["type"] == "RECORD":
            file.write(line)
        elif message["type"] == "STATE":
            file.flush()
            Path(state).write_text(json.dumps([message["state"]]))
        else:
            print(line, file=sys.stderr)
sys.exit(process.wait())
