package dynamo

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/awsenv"
)

// EndpointSetting names the setting that points the client at another
// DynamoDB, such as the local one.
const EndpointSetting = "AWS_ENDPOINT_URL_DYNAMODB"

// ClientFromEnv makes a DynamoDB client from the environment; see
// [awsenv.Read].
func ClientFromEnv(lookup func(string) (string, bool), options ...func(*dynamodb.Options)) (*dynamodb.Client, error) {
	env, err := awsenv.Read(lookup, "DYNAMODB")
	if err != nil {
		return nil, err
	}
	return dynamodb.New(dynamodb.Options{
		Region: env.Region, Credentials: env.Credentials, HTTPClient: env.HTTP,
		Retryer: env.Retryer, BaseEndpoint: env.Endpoint,
	}, options...), nil
}
