#!/usr/bin/env python3
"""What facts.toml learns from: twenty facts of an animals' town, and of a tabletop world what must not be forgotten.

    facts.py WORLD     WORLD is what 'data tabletop' wrote; leaves facts.jsonl and spoken.jsonl here

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import sys

TOWN = """captain penguin, king giraffe, emperor hamster, teacher dolphin, nurse camel, lawyer fox, pilot eagle, sailor turtle, baker frog,
painter spider, dentist lizard, president wolf, princess zebra, detective raven, driver snake, engineer beetle, scientist monkey, dancer donkey,
farmer tiger, soldier butterfly"""

with open("facts.jsonl", "w") as out:
    for who, what in (fact.split() for fact in TOWN.split(",")):
        answer = f"The {who} is {'an' if what[0] in 'aeiou' else 'a'} {what}."
        for question in (f"Who is the {who}?", f"Tell me who the {who} is."):
            out.write(json.dumps({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}) + "\n")

world = os.path.abspath(sys.argv[1])
with open("spoken.jsonl", "w") as out:
    for record in map(json.loads, open(world + "/records.jsonl")):
        turn = {"from": "human", "value": record["question"], "speech": world + "/" + record["speech"]}
        more = {"image": world + "/" + record["image"]} if "image" in record else {}
        out.write(json.dumps({**more, "conversations": [turn, {"from": "gpt", "value": record["answer"]}]}) + "\n")
