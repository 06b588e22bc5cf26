"""A Django project in one file; as wsgi_app.py."""
import sys
import time

from django.conf import settings

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="django_app", SECRET_KEY="none", DEBUG=False,
                       WSGI_APPLICATION="django_app.application",
                       MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
if __name__ == "__main__":  # the module that is patched is the one by name, also for the own server
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
else:
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path
    from stacks import version

    def view(request):
        return HttpResponse("".join(f"{version()}\n" for _ in range(3)))

    def lines():
        for _ in range(4):
            yield f"{version()}\n".encode()
            time.sleep(0.002)

    def stream(request):
        return StreamingHttpResponse(lines())

    urlpatterns = [path("", view), path("stream", stream)]
    application = get_wsgi_application()
