"""Sign-in, sign-out, and the page behind a one-time set-up link."""

from fastapi import APIRouter, Request, Response

from federation.errors import GonghuiError, InputRefused
from node.access.passwords import MIN_CHARACTERS, find_setup_name, redeem_setup_link
from node.access.setup import SETUP_PATH
from node.access.sign_in import sign_in, sign_out
from node.http.problems import status_of
from node.web.pages import FormOf, PageRoute, local_path, page, see_other
from node.web.visitors import GuestOf, VisitorOf, forget_session, keep_session, session_secret

router = APIRouter(route_class=PageRoute)


@router.get("/sign-in")
def show_sign_in(request: Request, visitor: GuestOf) -> Response:
    """Ask for name and password."""
    target = local_path(request.query_params.get("next", "/"))
    if visitor.actor is not None:
        return see_other(target)
    return page(request, "sign-in.html", name="", target=target, error=None)


@router.post("/sign-in")
def do_sign_in(request: Request, visitor: GuestOf, form: FormOf) -> Response:
    """Begin a session; a refusal shows the form again, with the name and without the password."""
    name, target = form.text("name"), local_path(form.text("next", "/"))
    try:
        secret = sign_in(visitor.node, name, form.raw("password"))
    except GonghuiError as error:
        return page(request, "sign-in.html", status_of(error), name=name, target=target, error=error)
    response = see_other(target)
    keep_session(request, response, secret)
    return response


@router.post("/sign-out")
def do_sign_out(request: Request, visitor: VisitorOf) -> Response:
    """End the session."""
    sign_out(visitor.node, session_secret(request))
    response = see_other("/sign-in", "signed-out")
    forget_session(request, response)
    return response


@router.get(SETUP_PATH + "{secret}")
def show_setup(request: Request, visitor: GuestOf, secret: str) -> Response:
    """Ask for a new password; looking does not use the link up."""
    name = find_setup_name(visitor.node, secret)
    return page(request, "setup.html", name=name, least=MIN_CHARACTERS, error=None)


@router.post(SETUP_PATH + "{secret}")
def do_setup(request: Request, visitor: GuestOf, secret: str, form: FormOf) -> Response:
    """Set the password, which uses the link up."""
    name = find_setup_name(visitor.node, secret)
    try:
        if form.raw("password") != form.raw("again"):
            raise InputRefused("passwords-differ", "两次输入的密码不同。", "The two passwords differ.")
        redeem_setup_link(visitor.node, secret, form.raw("password"))
    except GonghuiError as error:
        return page(request, "setup.html", status_of(error), name=name, least=MIN_CHARACTERS, error=error)
    return see_other("/sign-in", "password-set")
