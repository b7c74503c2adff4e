"""What answers like an MLflow server: `python fake_mlflow.py PORT [HOW]`."""

import http.server
import signal
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/crash":
            sys.exit(3)

    def log_message(self, *_):
        pass


def main(port, how=""):
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "slow":
        time.sleep(60)
    if how == "broken":
        sys.exit("no such table: runs")
    server = http.server.HTTPServer(("127.0.0.1", int(port)), Handler)
    try:
        server.serve_forever()
    except SystemExit:
        sys.exit("crashed")


if __name__ == "__main__":
    main(*sys.argv[1:])
