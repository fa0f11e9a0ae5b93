"""Asks for every case, over HTTP/1.1, HTTP/2 and a WebSocket, and writes down every byte that comes back.

argv: cases.json, folder. Without a proxy in the environment it goes straight to the upstream, with the credential itself:
that is the control.
"""
import base64, json, os, socket, ssl, sys, urllib.parse

cases, folder = json.load(open(sys.argv[1])), sys.argv[2]
direct, secret = cases["direct"], cases["secret"]


def context():
    # One for each connection: httpx writes its protocols into the one that it is given.
    return ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])


def connection(host, port):
    if direct:
        raw = socket.create_connection(("127.0.0.1", port))
    else:
        proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
        raw = socket.create_connection((proxy.hostname, proxy.port))
        shown = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        raw.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nProxy-Authorization: Basic {shown}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += raw.recv(1)
        assert head.startswith(b"HTTP/1.1 200"), head
    raw.settimeout(60)
    return context().wrap_socket(raw, server_hostname=host)


def everything(stream):
    got = b""
    while True:
        try:
            more = stream.recv(65536)
        except (ssl.SSLError, ConnectionError, TimeoutError):
            break
        if not more:
            break
        got += more
    return got


def http1(case):
    stream = connection(case["host"], case["port"])
    own = f"Authorization: Bearer {secret}\r\n" if direct else ""
    stream.sendall(
        f"GET {case['target']} HTTP/1.1\r\nHost: {case['host']}:{case['port']}\r\n{own}TE: trailers\r\nConnection: close, te\r\n\r\n".encode()
    )
    return everything(stream)


def websocket(case):
    stream = connection(case["host"], case["port"])
    own = f"Authorization: Bearer {secret}\r\n" if direct else ""
    stream.sendall(
        f"GET {case['target']} HTTP/1.1\r\nHost: {case['host']}:{case['port']}\r\n{own}Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    got = b""
    while b"credential: " not in got or len(got) < got.index(b"credential: ") + 12 + len(secret):
        more = stream.recv(65536)
        if not more:
            return got
        got += more
    # A masked close frame (RFC 6455 section 5.5.1), status 1000.
    stream.sendall(bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]))
    return got + everything(stream)


def http2(case):
    import httpx

    headers = {"authorization": f"Bearer {secret}"} if direct else {}
    target = f"https://{case['host']}:{case['port']}{case['target']}"
    if direct:
        target = f"https://127.0.0.1:{case['port']}{case['target']}"
    with httpx.Client(http2=True, verify=context()) as client, client.stream("GET", target, headers=headers) as answer:
        assert answer.http_version == "HTTP/2", answer.http_version
        head = b"%d\r\n" % answer.status_code + b"".join(k + b": " + v + b"\r\n" for k, v in answer.headers.raw)
        try:
            return head + b"".join(answer.iter_raw())
        except httpx.HTTPError as error:
            return head + repr(error).encode()


for case in cases["cases"]:
    got = {"http1": http1, "http2": http2, "websocket": websocket}[case["over"]](case)
    with open(os.path.join(folder, case["name"]), "wb") as out:
        out.write(got)
print("asked", len(cases["cases"]))
