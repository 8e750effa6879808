"""What the API says of itself: answers, routes, messages and what each key means; OpenAPI, AsyncAPI, a page."""
