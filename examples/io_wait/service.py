"""A slow service: `service.py [PORT]` reads a number of seconds, one line, and answers after them."""

import asyncio
import sys


async def serve(reader, writer):
    seconds = float(await reader.readline() or 0)
    await asyncio.sleep(seconds)
    writer.write(f"fine, after {seconds:g} s\n".encode())
    writer.close()


async def main(port):
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print("ready on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9090))
