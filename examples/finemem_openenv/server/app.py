"""What openenv.yaml names: FINEMEM_ENV_ID and FINEMEM_ENV_ARGS (JSON) choose what is served."""

from finemem_env.integrations.openenv import make_app

app = make_app()


def main():
    """The script `server`."""
    import uvicorn

    uvicorn.run(app, host="0.0.0.0", port=8000)


if __name__ == "__main__":
    main()
