"""The class of the messages: senders and addressees import it, the post office does not."""
from Pyro5.api import register_class_to_dict, register_dict_to_class


class Letter:
    def __init__(self, sender, lines):
        self.sender = sender
        self.lines = lines


def letter_to_dict(letter):
    return {"__class__": "post.Letter", "sender": letter.sender, "lines": letter.lines}


def dict_to_letter(classname, data):
    return Letter(str(data["sender"]), [str(line) for line in data["lines"]])


register_class_to_dict(Letter, letter_to_dict)
register_dict_to_class("post.Letter", dict_to_letter)
