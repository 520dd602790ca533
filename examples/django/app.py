"""Notes in Django, a whole project in one file: settings, a form, a view, a template.

A real project has its own `wsgi.py`; see the README beside this file.
"""

import django
from django import forms
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.shortcuts import redirect, render
from django.urls import path

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Notes</title>
<style>
  body { font: 18px/1.6 system-ui, sans-serif; max-width: 38rem; margin: 10vh auto; padding: 0 1rem; color: #1c2b24 }
  h1 { color: #17794d } input { font: inherit; padding: .3rem .5rem }
</style>
<h1>Notes</h1>
<form method="post">{% csrf_token %}{{ form.text }} <button>Keep</button>{{ form.text.errors }}</form>
<ul>{% for note in notes %}<li>{{ note }}</li>{% empty %}<li>nothing yet</li>{% endfor %}</ul>
</html>
"""

settings.configure(
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="change me",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",  # the notes live in the visitor's own cookie
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"notes.html": PAGE})]},
    }],
)


class NoteForm(forms.Form):
    text = forms.CharField(max_length=80)


def notes(request):
    form = NoteForm(request.POST or None)
    kept = request.session.get("notes", [])
    if request.method == "POST" and form.is_valid():
        request.session["notes"] = [*kept, form.cleaned_data["text"]][-20:]
        return redirect("notes")
    return render(request, "notes.html", {"form": form, "notes": kept})


urlpatterns = [path("", notes, name="notes")]

django.setup()
app = get_wsgi_application()
