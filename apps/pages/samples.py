"""The sample pages that a new site begins with: what LRWP is, told on pages that LRWP serves."""

from __future__ import annotations

from typing import Final, NamedTuple


class Sample(NamedTuple):
    """A page as the first start writes it; see :mod:`apps.pages.schema`."""

    name: str
    number: int
    page_set: str
    link_text: str
    template: str
    content: str


PAGES: Final = (
    Sample(
        "home",
        10,
        "Std",
        "Home",
        "links",
        """\
# Start once. Answer for years.

A web page should not cost the start of a program. LRWP keeps programs
running, lines requests up in front of them, and hands each one to the
worker that has been idle longest.

**[Call a worker](/lrtest)**

Reload the page behind this button a few times: three processes take turns,
and each counts its own calls. The page that you are reading comes from a
worker, too, out of a database that it opened before you came.
""",
    ),
    Sample(
        "worker",
        20,
        "Std",
        "What a worker is",
        "standard",
        """\
# What a worker is

A worker is a process that starts once, opens what it needs, and then
answers one request after another. Its code is loaded, its database is
connected, its templates are compiled: all that is left to do for a request
is the request.

It is a client, and not a server. It opens no port. It dials a dispatcher,
says its name and the path that it wants to serve, and waits. So a worker
can sit on the same machine or in another building, and adding one needs no
configuration: it registers, and takes its share from then on.

## One thing at a time

A worker blocks, on purpose. While it computes or waits for the database, it
does nothing else. Code that works on one thing at a time can be read from
top to bottom, needs no locks, and has its database connection to itself. If
that is too slow for all who come, start more workers:

```
lrwp worker shop:app -n 4
```

## It may die

A worker that crashes takes one request with it, at most. Its supervisor
starts another. A worker that hangs is cut off when its time is up and
replaced, and whatever it says later is thrown away: a late answer never
reaches somebody who did not ask for it.
""",
    ),
    Sample(
        "queue",
        30,
        "Std",
        "How queueing works",
        "standard",
        """\
# How queueing works

Think of a post office. There is one line, and several counters. Whoever is
first in the line goes to the counter that is free first. Nobody picks a
line, and nobody stands behind the one customer with forty parcels.

The dispatcher keeps one line for each application, and it keeps it itself.
Workers never have lines of their own, so no request is stuck at a slow
worker while another is idle.

1. A request arrives, with its whole body. A slow upload holds no worker.
2. If a worker is idle, it gets the request at once; of several the one that
   has been idle longest.
3. If none is idle, the request waits its turn.
4. The worker answers as fast as it can. The dispatcher keeps the answer for
   a client that reads slowly, and the worker is free again.

## When the line is too long

A line that only grows helps nobody: whoever waits for a minute has left,
and still costs a worker's time. So the line has a length. A request that
finds it full is told **503** at once, and when to come back. A request that
has waited too long is told the same, and never runs.

## Two at once, now and then

Between an answer and the next request lies a trip over the network, in
which a worker would idle. Where requests wait and answers are quick, the
dispatcher therefore sends the next one ahead. Only those that change
nothing, and it takes them back if the one in front dawdles.
""",
    ),
    Sample(
        "promises",
        40,
        "Std",
        "What is promised",
        "standard",
        """\
# What is promised

A queue is a promise to those who stand in it. These are ours, and each of
them is kept by a test that breaks something on purpose and counts.

- Every request that was accepted gets **exactly one** answer.
- A request that no worker has begun is not lost when a worker dies. Another
  one gets it.
- A request that may have begun is repeated only if repeating is harmless,
  and once. **A form
  that you send is never acted upon twice.**
- A worker that hangs costs only the one who asked it.
- A client that leaves is forgotten: what it asked for does not run.
- A stop is polite. What was accepted is finished first.
- Work in a database that a handler left open is undone and reported, before
  the next request can trip over it.
- Trouble in one application stays there.

> What a server does when all is well, everybody knows. The rest is what you
> choose it by.
""",
    ),
    Sample(
        "try",
        110,
        "At the keyboard",
        "Five things to try",
        "standard",
        """\
# Five things to try

The demonstration is running on your own machine, so you may do with it what
you like. Each of these takes a minute, in a second terminal, in the folder
in which you started the first.

## Put one more worker to work

```
.venv/bin/lrwp worker apps.lrtest:app --label FOUR
```

Then [call lrtest](/lrtest) a few times. FOUR is there. Stop it with Ctrl-C:
it finishes what it has, and nobody notices.

## Send a thousand calls

```
.venv/bin/lrwp load http://127.0.0.1:8080/lrtest -c 10 -n 1000 --match '<h1>'
```

Ten at a time, and a table of how long they took.

## See who is there

```
.venv/bin/lrwp status
```

Applications, their lines and their workers, as the dispatcher knows them at
this moment.

## Kill one

Pick the number of a process from an lrtest page, and be rude: `kill -9` and
the number. It is back before you have found out.

## Edit this page

There is a link below. Two workers serve this site, and each of them keeps
the navigation on the left in its memory. Change a link's text, and look how
long the old one lasts.
""",
    ),
    Sample(
        "handlers",
        120,
        "At the keyboard",
        "A page in five lines",
        "standard",
        """\
# A page in five lines

```python
from worker import Application

app = Application("hello")

@app.get("/{name}")
def greet(request, name):
    return {"hello": name}
```

Save this as `hello.py`, type `lrwp worker hello:app`, and ask for
`/hello/world`.

A handler is a function that takes a request and returns what can be sent:
text is a page, a dictionary is JSON, bytes are bytes, a generator is sent
piece by piece while it runs. If there is more to say, such as a status or a
header, it returns a `Response`.

## Addresses

A pattern may hold parameters, and they may have kinds: `/entry/{id:int}`
does not match where there is no number, so the handler never sees anything
else. What is written out beats a parameter, and the deepest mount wins. An
address that is known, asked in a way that is not, answers 405 and says
which ways there are.

## And what you have already

A WSGI application needs no change at all: `lrwp worker
shop.wsgi:application --kind wsgi`.
""",
    ),
    Sample(
        "forms",
        130,
        "At the keyboard",
        "Forms that forgive",
        "standard",
        """\
# Forms that forgive

People make mistakes in forms, and a good one shows them what they typed and
what is wrong with it, side by side. That loop of show, check, save and show
again is the same everywhere. So it is written once: a form is a class with
its elements, and a Formlet is a class that knows how to load and to save.

```python
class TaskForm(Form):
    title = Entry("Title", Text(most=80))
    due = Entry("Due on", Nullable(Date()))

@app.servlet("/task/{id:int}")
class EditTask(Formlet):
    form = TaskForm

    def load(self):
        return find_task(self.db, self.id)

    def save(self, data):
        update_task(self.db, self.id, data)
        return self.request.url_for("tasks")
```

The form behind the edit link of this page is made like that. Press it and
leave a field empty.

## If two edit the same page

Both load it, both type, both save. On many sites the second one wins, and
never learns that there was a first. Here the second is told, sees what the
page has become beside what they typed, and decides. Nothing that anybody
typed is lost.
""",
    ),
    Sample(
        "guard",
        140,
        "At the keyboard",
        "The guard",
        "standard",
        """\
# The guard

A worker keeps its database connection open from one request to the next.
That is what makes it fast, and what made its ancestors dangerous: if a
handler forgot to end its transaction, its changes stayed in the air, and
the next request, somebody else's, committed them or threw them away.

So there is a guard around every handler. When the handler has returned, it
looks:

| what it finds | what it does |
|---|---|
| all committed | nothing |
| only reading | ends it, without a word |
| changes that nobody committed | undoes them, answers 500, and names the handler in the log |
| an exception | undoes what is open, and passes it on |

A programmer who forgets to commit hears of it at the first try, and not
from a customer in March.
""",
    ),
    Sample(
        "scale",
        150,
        "At the keyboard",
        "One machine, or ten",
        "standard",
        """\
# One machine, or ten

Everything in LRWP is a program of its own, and programs are joined by
sockets. So nothing has to be rebuilt to grow.

- **More of the same.** Start workers under the same name. On this machine
  or on another, they share one line.
- **Different things.** Workers with different names serve different paths.
  Each application has a line of its own, so a slow one does not hold up the
  others.
- **Two of everything.** A worker may register with several dispatchers. If
  one machine burns, the other goes on.
- **New code.** Workers are replaced one by one, the new one first. Nobody
  waits for a restart.

A worker that comes from another machine has to prove that it knows a
secret, and does so without saying it. Without a secret the dispatcher does
not even listen to the outside.
""",
    ),
    Sample(
        "xitami",
        310,
        "Where it comes from",
        "Xitami, 1997",
        "standard",
        """\
# Xitami, 1997

In the nineties a dynamic page was a CGI program. For each visitor the
server started a process, which loaded its interpreter, read its modules,
connected to its database, wrote one page, and died. The page took a few
milliseconds of that. The rest was birth and burial.

Xitami was a small web server that ran on nearly everything, and it had an
answer in 1997: *long-running web processes*. Turn the program around. Let
it start once, connect to the server, and say: I am called *lrtest*, give me
what is for me. The server keeps a list of names, and a line for each.

The idea needed little. A socket, a greeting with a name, and requests that
look like the ones a CGI program gets, so that old programs could be turned
around in an afternoon. Yet what followed from it was large:

- a second process under the same name, and there was a **pool**;
- a process on another machine, and there was a **cluster**;
- a process that dies, and the server notices, because a connection has
  closed;
- no process at all, and a plain file of the same name is shown instead.

That last courtesy is still here. Stop all workers of [lrtest](/lrtest), and
you will be told so by a file.
""",
    ),
    Sample(
        "between",
        320,
        "Where it comes from",
        "What others did",
        "standard",
        """\
# What others did

The same cost was attacked from all sides, and most of the answers are still
in use.

| | the program | who starts it | who speaks first |
|---|---|---|---|
| CGI, 1993 | is born for each request | the server | the server |
| FastCGI, 1996 | stays | the server, mostly | the server |
| modules in the server | is a part of it | nobody | nobody |
| LRWP, 1997 | stays | you, anywhere | **the program** |
| WSGI, 2003 | is a function | a server in Python | the server |

Only one row has the program introduce itself. It looks like a detail. But a
server that calls its programs must know how many there are and where; its
configuration grows with every machine. A server that is called needs to
know nothing. Whoever is there is there.

Message brokers work like that, and so do many systems that give out work to
machines which come and go. Web servers, by and large, do not. That is why
it was worth doing again.
""",
    ),
    Sample(
        "again",
        330,
        "Where it comes from",
        "And again, today",
        "standard",
        """\
# And again, today

What you see is the idea of 1997 with what has been learned since.

The link has a written protocol with a version, checked lengths, and a
number for each request, so that an answer can never be taken for another
one's. Registration needs a proof. The dispatcher speaks the HTTP of today
and is suspicious of everything that is not quite it. Deadlines are
everywhere, and each has a name.

And some things are the same, because they were right:

- the worker dials;
- a name is all the configuration there is;
- one line for each application;
- a program that you can read, in a language that you like.
""",
    ),
    Sample(
        "this-site",
        410,
        "About this site",
        "How it is made",
        "standard",
        """\
# How it is made

This site is an example: a few hundred lines of Python, some templates, one
stylesheet, and one table. There is no JavaScript in it.

- A **page** is a row: a name, which is its address; a number, which is its
  place; a set, which is its heading on the left; the text of links to it; a
  template; and what you are reading, in Markdown.
- The **navigation** is kept in the memory of each worker. Each edit
  increments a number in the database, in the same transaction. A request
  reads that number together with its page, and so knows for the price of
  nothing whether what it remembers still holds.
- The **first start** makes the table. Several workers may start at once:
  one is let through, and the others find all done.
- What **visitors** may do is read. What **editors** may do is write
  Markdown, in which HTML is text and links have to be harmless. So there is
  nothing that one could do to the other.

The page for [addresses that do not exist](/page/there-is-no-such-page) is a
row like all others. Its name is ERROR.
""",
    ),
    Sample(
        "writing",
        420,
        "About this site",
        "Writing a page",
        "standard",
        """\
# Writing a page

Pages are written in Markdown, which looks like what people type when
nothing else is at hand.

| what you type | what becomes of it |
|---|---|
| `# Words` | the heading of the page; `##` is one below it |
| `*softly*` and `**loudly**` | *softly* and **loudly** |
| `` `code` `` | `code`; three of these marks, on a line before and behind, frame lines of it |
| `[words](/page/queue)` | [words](/page/queue), within this site or with http, https or mailto |
| `- one` | a list; `1.` numbers it |
| `> said` | a quotation |
| a table like this one | is typed with `\\|` between its columns |

A link in bold that has a paragraph to itself becomes a button:

```
**[Call a worker](/lrtest)**
```

HTML is shown as it was typed, and so are scripts, styles and pictures:
<b>nothing happens</b>.
""",
    ),
    Sample(
        "ERROR",
        9999,
        "Std",
        "",
        "notice",
        """\
# There is no such page

Perhaps it has moved, or somebody has deleted it, or the address has a
letter too many.

**[To the first page](/)**
""",
    ),
)
"""In no order: their numbers say where they stand."""
