"""A Python service beside the API: plain commands on the same Redis, text decoding, nothing of the API's code.

    python3 shared_redis.py put     URL PROJECT DOC_ID TITLE CONTENT VERSION
    python3 shared_redis.py get     URL PROJECT DOC_ID
    python3 shared_redis.py push    URL PROJECT DOC_ID CHUNK [CHUNK ...]
    python3 shared_redis.py pop     URL PROJECT
    python3 shared_redis.py publish URL PROJECT TYPE MESSAGE
    python3 shared_redis.py listen  URL PROJECT            (prints the next event of the project)

URL is the state server; documents are on the cache server where there is one. Needs the package `redis`.
"""

import json
import sys

import redis


def put(r, project, doc_id, title, content, version):
    document = {"id": doc_id, "title": title, "content": content, "version": int(version)}
    r.setex(f"proj:{project}:doc:{doc_id}", 3600, json.dumps(document))


def get(r, project, doc_id):
    text = r.get(f"proj:{project}:doc:{doc_id}")
    print(json.dumps(json.loads(text), sort_keys=True) if text else "absent")


def push(r, project, doc_id, *chunks):
    task = {"project_id": project, "doc_id": doc_id, "chunks": list(chunks)}
    r.rpush(f"proj:{project}:queue:embeddings", json.dumps(task))


def pop(r, project):
    text = r.lpop(f"proj:{project}:queue:embeddings")
    print(text if text else "empty")


def publish(r, project, kind, message):
    r.publish(f"proj:{project}:progress", json.dumps({"type": kind, "data": {"message": message}}))


def listen(r, project):
    with r.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(f"proj:{project}:progress")
        channel.get_message(timeout=10)  # the acknowledgement of SUBSCRIBE
        print("listening", flush=True)
        while True:
            message = channel.get_message(timeout=10)
            if message:
                print(message["data"], flush=True)
                return


if __name__ == "__main__":
    commands = {f.__name__: f for f in (put, get, push, pop, publish, listen)}
    if len(sys.argv) < 4 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](redis.Redis.from_url(sys.argv[2], decode_responses=True), *sys.argv[3:])
