"""A counter in Django's ORM on PostgreSQL, with connections that Django keeps (CONN_MAX_AGE)."""

import json
import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, models, transaction
from django.http import HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {**json.loads(os.environ["DJANGO_DATABASE"]), "CONN_MAX_AGE": None}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIDDLEWARE=[],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
)
django.setup()


class Counter(models.Model):
    value = models.IntegerField(default=0)

    class Meta:
        app_label = "django_database_app"


with connection.schema_editor() as editor:
    editor.create_model(Counter)
Counter.objects.create(id=1)
connection.close()


def index(request):
    return HttpResponse("a Django application")


def sleep(request):
    with connection.cursor() as cursor:
        cursor.execute("select pg_sleep(%s), pg_backend_pid()", [float(request.META["QUERY_STRING"])])
        return JsonResponse(cursor.fetchone()[1], safe=False)


def add(request):
    """Waits in PostgreSQL for the row's lock, and holds it across a wait."""
    with transaction.atomic():
        counter = Counter.objects.select_for_update().get(id=1)
        with connection.cursor() as cursor:
            cursor.execute("select pg_sleep(0.01)")
        counter.value += 1
        counter.save()
    return JsonResponse(counter.value, safe=False)


def roll_back(request):
    try:
        with transaction.atomic():
            Counter.objects.filter(id=1).update(value=-1_000_000)
            raise ValueError("rolled back")
    except ValueError:
        return JsonResponse(Counter.objects.get(id=1).value, safe=False)


urlpatterns = [path("", index), path("sleep", sleep), path("add", add), path("roll-back", roll_back)]
application = get_wsgi_application()
