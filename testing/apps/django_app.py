"""Notes in a single-file Django project: forms with CSRF, sessions in signed cookies, templates, uploads, streaming."""

import django
from django import forms
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import path

_BASE = """<!doctype html><title>{% block title %}Notes{% endblock %}</title>{% block body %}{% endblock %}"""
_NOTES = """{% extends "base" %}{% block body %}<form method="post">{% csrf_token %}{{ form.as_p }}</form>
<ul>{% for note in notes %}<li>{{ note|upper }}</li>{% empty %}<li>none</li>{% endfor %}</ul>{% endblock %}"""

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    LOGGING={"version": 1, "handlers": {"stderr": {"class": "logging.StreamHandler"}},
             "loggers": {"django": {"handlers": ["stderr"], "level": "WARNING"}}},
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.gzip.GZipMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"],
                            "loaders": [("django.template.loaders.locmem.Loader",
                                         {"base": _BASE, "notes": _NOTES})]}}],
)


class NoteForm(forms.Form):
    text = forms.CharField(max_length=40)


def index(request):
    return HttpResponse("a Django application")


def notes(request):
    form = NoteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        request.session["notes"] = request.session.get("notes", []) + [form.cleaned_data["text"]]
        return redirect("notes")
    return render(request, "notes", {"form": form, "notes": request.session.get("notes", [])},
                  status=422 if form.errors else 200)


def upload(request):
    file = request.FILES["file"]
    return JsonResponse({"name": file.name, "type": file.content_type, "note": request.POST.get("note"),
                         "size": sum(len(chunk) for chunk in file.chunks())})


def body(request):
    return HttpResponse(request.body, content_type="application/octet-stream")


def stream(request):
    return StreamingHttpResponse((f"row {number}\n" for number in range(5)), content_type="text/plain")


def article(request, year, slug):
    if slug == "missing":
        raise Http404
    return JsonResponse({"year": year, "slug": slug, "path": request.path, "q": request.GET.getlist("q"),
                         "secure": request.is_secure(), "host": request.get_host()})


def broken(request):
    raise RuntimeError("a bug in the Django application")


def csrf_exempt(view):
    view.csrf_exempt = True
    return view


urlpatterns = [
    path("", index),
    path("notes/", notes, name="notes"),
    path("upload/", csrf_exempt(upload)),
    path("body/", csrf_exempt(body)),
    path("stream/", stream),
    path("articles/<int:year>/<slug>/", article),
    path("broken/", broken),
]

django.setup()
application = get_wsgi_application()
